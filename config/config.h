#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// The configuration of the program: one struct a section of config/vitrine.toml, whose values
/// equal the defaults below. Every key is `section.name`; VITRINE_SECTION_NAME sets it from the
/// environment. Adding a key is a field here, a line in settings.h, a check in validate() and a
/// line in the file. Each validate() throws InvalidArgument that names the key, its value and what
/// would be valid.
namespace vitrine::config {

/// [encoder]: the CLIP checkpoint and how it is run.
struct EncoderConfig {
  /// Checkpoint folder in Hugging Face's layout. Empty: the one that comes with the program.
  std::string model;
  /// Cores one encoding uses. 0: all of them. Valid: [0, 1024].
  int threads = 0;
  /// Images or texts encoded in one pass. More: faster indexing, more memory. Valid: [1, 1024].
  int max_batch = 32;
  /// Arithmetic of the encoder on a CPU: "auto", "float32", "bfloat16" or "int8".
  std::string precision = "auto";
  /// Instruction set of the encoder on a CPU: "auto" (the fastest), "portable", "avx2",
  /// "avx512", "avx512_vnni", "avx512_bf16" or "amx".
  std::string kernels = "auto";
  /// "auto", "cpu" or "cuda".
  std::string device = "auto";
  /// Texts and images of queries that may wait for the encoder; beyond it the answer is 503. Valid:
  /// [1, 1000000].
  int max_waiting = 1024;
  /// Memory for the embeddings of the queries used last, in MiB. 0: none is kept. Valid: [0,
  /// 65536].
  int query_cache_mb = 64;
  /// Largest image file, in MiB. Larger ones are refused before reading. Valid: [1, 4096].
  int image_max_mb = 64;
  /// Largest image, in millions of pixels. Refused by its header, before decoding; decoding takes
  /// about six bytes a pixel. Valid: [1, 4096].
  int image_max_megapixels = 64;
  /// Turns pictures upright, as their EXIF orientation says, before they are encoded. Changing it
  /// changes the encoder's fingerprint: catalogs must be indexed anew.
  bool apply_exif_orientation = false;
  /// The colour behind transparent pixels, "#rrggbb". Empty: transparency is ignored. Changing it
  /// changes the encoder's fingerprint.
  std::string alpha_background;

  void validate() const;
  bool operator==(const EncoderConfig&) const = default;
};

/// [storage]: where things are kept.
struct StorageConfig {
  /// Folder of everything the program writes. One running process at a time. Created when missing.
  std::string data_dir = "data";
  /// Built generations kept a catalogue, the current one included. Each costs one copy of the index
  /// on disk. Valid: [1, 100].
  int keep_generations = 2;

  void validate() const;
  bool operator==(const StorageConfig&) const = default;
};

/// [index]: how a catalogue's vectors are indexed when it is built, and where they are searched.
struct IndexConfig {
  /// "flat" (exact, linear time), "ivf" (clusters), "ivf_pq" (clusters of short codes: least
  /// memory) or "hnsw" (graph: fastest, most memory).
  std::string kind = "flat";
  /// ivf, ivf_pq: number of clusters. 0: about 4 * sqrt(products). Valid: [0, 1000000].
  int nlist = 0;
  /// hnsw: links a node. More: better recall, more memory. Valid: [2, 256].
  int hnsw_m = 32;
  /// hnsw: beam width while building. More: better recall, slower to build. Valid: [1, 4096].
  int ef_construction = 200;
  /// ivf_pq: bytes a code. More: better recall, more memory, slower. Valid: [1, 128].
  int pq_bytes = 64;
  /// Where flat and ivf indices are searched: "auto", "cpu" or "cuda".
  std::string device = "auto";

  void validate() const;
  bool operator==(const IndexConfig&) const = default;
};

/// [search]: what a query uses unless it says otherwise.
struct SearchConfig {
  /// Hits an answer holds. Valid: [1, 1000].
  int limit = 10;
  /// ivf, ivf_pq: clusters visited. More: better recall, slower. 0: as the catalogue was tuned,
  /// else 16. Valid: [0, 1000000].
  int nprobe = 0;
  /// hnsw: beam width. More: better recall, slower. 0: as the catalogue was tuned, else 64. Valid:
  /// [0, 10000].
  int ef_search = 0;
  /// ivf_pq: vectors compared in float32 for each hit. More: better recall, slower. 0: as the
  /// catalogue was tuned, else 10. Valid: [0, 100].
  int rescore = 0;

  void validate() const;
  bool operator==(const SearchConfig&) const = default;
};

/// [updates]: products that are added, changed or deleted while the catalogue is served.
struct UpdatesConfig {
  /// A merge begins once this many rows are new, replaced or deleted, or a quarter as many as there
  /// are products (1,000 at least) where that is fewer. Every search scans the new ones; every
  /// merge builds the whole index. 0: no merge by size. Valid: [0, max_unmerged].
  int merge_size = 10000;
  /// A merge begins once the oldest update is this old, in seconds. 0: no merge by age. Valid:
  /// [0, 31536000].
  int merge_age_sec = 3600;
  /// Updates are answered 503 while this many rows are not merged. Each takes about 8 bytes times
  /// the embedding's columns of memory. Valid: [1, 10000000].
  int max_unmerged = 200000;

  void validate() const;
  bool operator==(const UpdatesConfig&) const = default;
};

/// [server]: the HTTP service.
struct ServerConfig {
  /// IP address to listen on. "0.0.0.0" serves every interface.
  std::string address = "127.0.0.1";
  /// TCP port. 0: any free one, printed at start. Valid: [0, 65535].
  int port = 8080;
  /// Threads that move bytes and parse headers; one is enough for thousands of requests a second.
  /// Valid: [1, 64].
  int io_threads = 1;
  /// Requests in hand at once. Those that wait for the encoder at the same time are encoded
  /// together, so this bounds how many share a pass. Valid: [1, 1024].
  int request_threads = 64;
  /// Requests in hand that decode or search at the same time. 0: one for each core. Valid:
  /// [0, 1024].
  int compute_threads = 0;
  /// Requests that may wait until they are taken in hand; beyond it the answer is 503. Valid:
  /// [1, 100000].
  int max_queued = 64;
  /// Largest request body, in MiB; beyond it the answer is 413. Valid: [1, 1024].
  int max_body_mb = 16;
  /// Request bodies held in memory at once, in MiB; beyond it the answer is 503.
  /// Valid: [max_body_mb, 65536].
  int max_buffered_mb = 256;
  /// Largest request line plus header, in KiB; beyond it the answer is 431. Valid: [1, 1024].
  int max_header_kb = 16;
  /// Open connections; beyond it new ones wait. Valid: [1, 100000].
  int max_connections = 1024;
  /// Seconds a client has to send a request's header. Valid: [1, 3600].
  int header_timeout_sec = 10;
  /// Seconds a client has to send a body, or to take an answer. Valid: [1, 3600].
  int transfer_timeout_sec = 60;
  /// Seconds a connection may stay open between two requests. Valid: [1, 86400].
  int idle_timeout_sec = 60;
  /// Seconds that running requests have to finish after SIGTERM. Valid: [0, 3600].
  int drain_timeout_sec = 20;
  /// What "Authorization: Bearer ..." must carry to change products and for /v1/admin/. Empty: only
  /// this machine may; set it behind a proxy. At most 1024 visible ASCII characters.
  std::string admin_token;
  /// Origins whose pages may search and read, such as "https://shop.example", with commas between.
  /// "*": those of every origin. Empty: none but the server's own. Never opens what needs the
  /// token.
  std::string cors_origins;
  /// One log line a request.
  bool access_log = true;

  void validate() const;
  bool operator==(const ServerConfig&) const = default;
};

/// [log]: lines on stderr.
struct LogConfig {
  /// "debug", "info", "warn" or "error".
  std::string level = "info";

  void validate() const;
  bool operator==(const LogConfig&) const = default;
};

struct Config {
  EncoderConfig encoder;
  StorageConfig storage;
  IndexConfig index;
  SearchConfig search;
  UpdatesConfig updates;
  ServerConfig server;
  LogConfig log;

  /// Each section alone.
  void validate_sections() const;
  /// Each section, and what must hold between keys.
  void validate() const;
  bool operator==(const Config&) const = default;
};

/// The variables of the process whose names begin with VITRINE_.
using Environment = std::map<std::string, std::string>;
Environment process_environment();

/// Names the configuration file in the environment; the only VITRINE_ variable that is no key.
inline constexpr const char* kFileVariable = "VITRINE_CONFIG";

/// A value given by a command line flag.
struct Override {
  std::string key;    ///< "server.port"
  std::string value;  ///< as typed
  std::string flag;   ///< "--port", for messages
};

/// The defaults, overridden by the file (when given), by the environment, by the flags; validated.
/// Throws NotFound (no such file) or InvalidArgument that names the file and line, the variable or
/// the flag, for a malformed file, an unknown key or variable, and a bad value.
Config load_config(const std::optional<std::filesystem::path>& file, const Environment& environment,
                   std::span<const Override> flags);

/// Why the value cannot be the key's, or nothing when it can.
std::optional<std::string> why_invalid(const std::string& key, const std::string& value);

/// Every key with its value as text, in the order of config/vitrine.toml.
std::vector<std::pair<std::string, std::string>> settings_of(const Config& config);

}  // namespace vitrine::config
