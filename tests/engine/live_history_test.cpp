// Random histories of updates, merges, reindexes and restarts, searched with and without filters,
// against a list that is scanned.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>

#include "engine/allowed_rows.h"
#include "engine/filter/filter_json.h"
#include "index/vector_index.h"
#include "live_support.h"

namespace vitrine::engine {
namespace {

constexpr int kIndexed = 40;
constexpr int kSteps = 150;

using nlohmann::json;

/// What products have, which fields of them differing with the number.
json attributes_of(int number) {
  static const std::vector<std::string> kColours = {"red", "green", "blue"};
  static const std::vector<std::string> kSizes = {"S", "M", "L"};
  json attributes = {{"v", number}, {"stock", {{"count", number % 10}, {"city", "Ulm"}}}};
  if (number % 5 != 0) attributes["colour"] = kColours[static_cast<std::size_t>(number) % 3];
  attributes["sizes"] = json::array();
  for (int i = 0; i < number % 4; ++i) {
    attributes["sizes"].push_back(kSizes[static_cast<std::size_t>(i)]);
  }
  if (number % 7 == 0) attributes["sale"] = number % 2 == 0;
  return attributes;
}

struct HistoryCatalog : TestCatalog {
  HistoryCatalog() : TestCatalog(0) {
    for (int i = 0; i < kIndexed; ++i) {
      const std::string id = "p" + std::to_string(i);
      const std::string& colour = colours()[static_cast<std::size_t>(i) % colours().size()];
      put(id, colour, i);
      remove(id);  // but not its image
      json record = attributes_of(i);
      record.update({{"id", id}, {"image", id + ".png"}, {"caption", "a " + colour + " shirt"}});
      append(record);
    }
    write();
  }
};

/// A filter, and what it means in other words.
struct FilterCase {
  json filter;
  std::function<bool(const storage::Product&)> passes;
};

json match(const std::string& key, const json& value) {
  return {{"key", key}, {"match", {{"value", value}}}};
}
json range(const std::string& key, const std::string& bound, double number) {
  return {{"key", key}, {"range", {{bound, number}}}};
}
bool is(const storage::Product& product, const char* key, const json& value) {
  return product.attributes.contains(key) && product.attributes[key] == value;
}
bool has_size(const storage::Product& product, const std::string& size) {
  const json sizes = product.attributes.value("sizes", json::array());
  return std::ranges::find(sizes, json(size)) != sizes.end();
}
/// -1: it has none.
int stock(const storage::Product& product) {
  return product.attributes.contains("stock") ? product.attributes["stock"].value("count", -1) : -1;
}

/// From everything to nothing.
const std::vector<FilterCase>& filter_cases() {
  using P = const storage::Product&;
  static const std::vector<FilterCase> kCases = {
      {json::object(), [](P) { return true; }},
      {{{"must", range("v", "gte", 0)}}, [](P p) { return p.attributes.contains("v"); }},
      {{{"must_not", match("colour", "red")}}, [](P p) { return !is(p, "colour", "red"); }},
      {{{"must", {{{"key", "sizes"}, {"match", {{"any", {"M", "L"}}}}}}}},
       [](P p) { return has_size(p, "M") || has_size(p, "L"); }},
      {{{"should", {match("colour", "green"), range("stock.count", "lt", 3)}}},
       [](P p) { return is(p, "colour", "green") || (stock(p) >= 0 && stock(p) < 3); }},
      {{{"must", match("colour", "blue")},
        {"must_not", {match("sizes", "S"), match("sale", true)}}},
       [](P p) { return is(p, "colour", "blue") && !has_size(p, "S") && !is(p, "sale", true); }},
      {{{"must",
         {{{"should",
            {{{"must", {match("colour", "red"), range("stock.count", "gt", 5)}}},
             {{"must", {{{"key", "colour"}, {"is_empty", true}}, match("sizes", "L")}}}}}}}}},
       [](P p) {
         return (is(p, "colour", "red") && stock(p) > 5) ||
                (!p.attributes.contains("colour") && has_size(p, "L"));
       }},
      {{{"must", {{{"has_id", {"p3", "new7", "p11", "nobody"}}}}}},
       [](P p) { return p.id == "p3" || p.id == "new7" || p.id == "p11"; }},
      {{{"must", match("v", 17)}}, [](P p) { return is(p, "v", 17); }},
      {{{"must", range("v", "lt", 0)}}, [](P) { return false; }},
  };
  return kCases;
}

struct Entry {
  storage::Product product;
  std::vector<float> image;
  std::vector<float> caption;
};

/// The products in the order of their rows: a product that changes goes to the end.
class Model {
 public:
  explicit Model(const Catalog& catalog) {
    for (const std::size_t row : catalog.live_rows()) {
      entries_.push_back({catalog.products({&row, 1}).front(), catalog.vector(Target::kImage, row),
                          catalog.vector(Target::kCaption, row)});
    }
  }

  const std::vector<Entry>& entries() const { return entries_; }
  const Entry* find(const std::string& id) const {
    const auto found = std::ranges::find(entries_, id, [](const Entry& e) { return e.product.id; });
    return found == entries_.end() ? nullptr : &*found;
  }
  void erase(const std::string& id) {
    std::erase_if(entries_, [&](const Entry& entry) { return entry.product.id == id; });
  }
  void apply(const ProductUpdate& update) {
    Entry entry;
    if (const Entry* old = find(update.id)) entry = *old;
    erase(update.id);
    entry.product.id = update.id;
    if (update.caption) entry.product.caption = *update.caption;
    if (update.attributes) entry.product.attributes = *update.attributes;
    if (update.image_embedding) entry.image = *update.image_embedding;
    if (update.caption_embedding) entry.caption = *update.caption_embedding;
    entries_.push_back(std::move(entry));
  }

 private:
  std::vector<Entry> entries_;
};

double cosine(const std::vector<float>& a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

/// A search answers what a scan of the model gives. exhaustive: nothing may be missed. allowed:
/// null, or what the catalog makes of the filter.
void expect_search_agrees(const Catalog& catalog, const Model& model, Target target,
                          const std::vector<float>& query, int k, index::SearchOptions options,
                          bool exhaustive, const FilterCase& filter = filter_cases().front(),
                          const AllowedRows* allowed = nullptr) {
  constexpr double kRounding = 1e-5;
  if (allowed != nullptr) options.allowed = &allowed->base;
  const index::SearchResult found =
      catalog.search(target, MatrixView{query.data(), 1, query.size()}, k, options,
                     allowed != nullptr ? &allowed->delta : nullptr);
  const auto passing = static_cast<std::size_t>(std::ranges::count_if(
      model.entries(), [&](const Entry& entry) { return filter.passes(entry.product); }));
  const std::size_t wanted = std::min(static_cast<std::size_t>(k), passing);
  std::vector<bool> hit(model.entries().size(), false);
  double worst = 2;
  std::ptrdiff_t last_place = -1;
  for (std::size_t rank = 0; rank < found.k; ++rank) {
    if (rank >= wanted) {
      EXPECT_EQ(found.rows[rank], index::kNoRow);
      continue;
    }
    ASSERT_NE(found.rows[rank], index::kNoRow) << rank << " of " << wanted;
    const std::string id(catalog.id(static_cast<std::size_t>(found.rows[rank])));
    const Entry* entry = model.find(id);
    ASSERT_NE(entry, nullptr) << id << " should be gone";
    EXPECT_EQ(catalog.row_of(id), static_cast<std::size_t>(found.rows[rank])) << "a dead row";
    const std::ptrdiff_t place = entry - model.entries().data();
    EXPECT_FALSE(hit[place]) << id << " twice";
    EXPECT_TRUE(filter.passes(entry->product)) << id << " should not pass";
    hit[place] = true;
    const auto& vector = target == Target::kImage ? entry->image : entry->caption;
    EXPECT_NEAR(found.scores[rank], cosine(vector, query), kRounding) << id;
    if (rank > 0) {
      EXPECT_GE(found.scores[rank - 1], found.scores[rank]);
      if (found.scores[rank - 1] == found.scores[rank]) {
        EXPECT_LT(last_place, place) << "equal scores come in the order of rows";
      }
    }
    last_place = place;
    worst = found.scores[rank];
  }
  if (!exhaustive) return;
  for (std::size_t i = 0; i < hit.size(); ++i) {
    const Entry& entry = model.entries()[i];
    const auto& vector = target == Target::kImage ? entry.image : entry.caption;
    if (!hit[i] && filter.passes(entry.product)) {
      EXPECT_LE(cosine(vector, query), worst + kRounding) << entry.product.id << " was missed";
    }
  }
}

class LiveHistory : public testing::TestWithParam<std::string> {
 protected:
  void open() {
    engine_.reset();
    engine_ = std::make_unique<TestEngine>(data_.path());
  }
  Engine& engine() { return *engine_->engine; }

  void expect_agreement() {
    const auto catalog = engine().catalog("shop");
    const std::vector<std::size_t> rows = catalog->live_rows();
    ASSERT_EQ(catalog->size(), model_->entries().size());
    ASSERT_EQ(rows.size(), model_->entries().size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      ASSERT_EQ(catalog->id(rows[i]), model_->entries()[i].product.id) << i;
      EXPECT_EQ(catalog->vector(Target::kImage, rows[i]), model_->entries()[i].image);
      EXPECT_EQ(catalog->vector(Target::kCaption, rows[i]), model_->entries()[i].caption);
    }
    const std::vector<storage::Product> products = catalog->products(rows);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(products[i], model_->entries()[i].product);
    }
    for (const std::string& id : ids_) {
      EXPECT_EQ(catalog->product(id).has_value(), model_->find(id) != nullptr) << id;
    }
    index::SearchOptions exact;
    exact.exact = true;
    for (const Target target : {Target::kImage, Target::kCaption}) {
      for (const int k : {1, 7, 200}) {
        const std::vector<float> query =
            chance(2) ? random_unit_vector(random_) : pool_[random_() % pool_.size()];
        expect_search_agrees(*catalog, *model_, target, query, k, exact, true);
        expect_search_agrees(*catalog, *model_, target, query, k, {}, GetParam() == "flat");
      }
    }
    for (const FilterCase& filter : filter_cases()) expect_filtered_agreement(*catalog, filter);
  }

  void expect_filtered_agreement(const Catalog& catalog, const FilterCase& filter) {
    SCOPED_TRACE(filter.filter.dump());
    AllowedRows allowed;
    try {
      allowed = allowed_rows(catalog, filter_from_json(filter.filter));
    } catch (const Error& error) {
      // A field that no product has is a mistake; the message names it.
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << error.what();
      const std::string message = error.what();
      const std::size_t name = message.find(" a field \"") + 10;
      std::string path = "/" + message.substr(name, message.find('"', name) - name);
      std::ranges::replace(path, '.', '/');
      for (const Entry& entry : model_->entries()) {
        EXPECT_FALSE(entry.product.attributes.contains(json::json_pointer(path))) << message;
      }
      return;
    }
    EXPECT_EQ(allowed.count,
              static_cast<std::size_t>(std::ranges::count_if(
                  model_->entries(), [&](const Entry& e) { return filter.passes(e.product); })));
    index::SearchOptions exact;
    exact.exact = true;
    const std::vector<float> query = random_unit_vector(random_);
    for (const Target target : {Target::kImage, Target::kCaption}) {
      for (const int k : {3, 200}) {
        expect_search_agrees(catalog, *model_, target, query, k, exact, true, filter, &allowed);
        expect_search_agrees(catalog, *model_, target, query, k, {}, GetParam() == "flat", filter,
                             &allowed);
      }
    }
  }

  bool chance(unsigned one_in) { return random_() % one_in == 0; }

  void upsert() {
    ProductUpdate update;
    update.id = ids_[random_() % ids_.size()];
    const bool exists = model_->find(update.id) != nullptr;
    ++version_;
    if (!exists || chance(2)) update.caption = "version " + std::to_string(version_);
    if (!exists || chance(2)) update.attributes = attributes_of(version_);
    // A few directions come again and again, for equal scores.
    if (!exists || chance(2)) update.image_embedding = pool_[random_() % pool_.size()];
    if (update.caption) update.caption_embedding = random_unit_vector(random_);
    const auto results = engine().upsert_products("shop", {&update, 1});
    EXPECT_EQ(results.front().existed, exists);
    EXPECT_GT(results.front().sequence, sequence_);
    sequence_ = results.front().sequence;
    model_->apply(update);
  }

  void upsert_many() {
    std::vector<ProductUpdate> updates;
    for (std::size_t i = random_() % 3; i < ids_.size(); i += 5) {
      updates.push_back(precomputed_update(ids_[i], ++version_, random_));
      updates.back().attributes = attributes_of(version_);
    }
    sequence_ = engine().upsert_products("shop", updates).back().sequence;
    for (const ProductUpdate& update : updates) model_->apply(update);
  }

  void erase() {
    const std::string& id = ids_[random_() % ids_.size()];
    if (model_->find(id) == nullptr) {
      EXPECT_EQ(thrown_by([&] {
                  engine().delete_products("shop", {&id, 1});
                }).code,
                ErrorCode::kNotFound);
      return;
    }
    sequence_ = engine().delete_products("shop", {&id, 1}).front().sequence;
    model_->erase(id);
  }

  void merge() {
    const JobStatus job = await_job(engine(), engine().start_merge("shop"));
    if (model_->entries().empty()) {
      EXPECT_EQ(job.state, JobState::kFailed);
      return;
    }
    ASSERT_EQ(job.state, JobState::kSucceeded) << job.error;
    EXPECT_EQ(job.kind, JobKind::kMerge);
    const auto catalog = engine().catalog("shop");
    EXPECT_EQ(catalog->generation(), job.report->generation);
    EXPECT_EQ(catalog->delta().rows() + catalog->delta().tombstones(), 0U);
  }

  void reindex() {
    engine().index_catalog(file_.request("shop", GetParam()));
    const auto catalog = engine().catalog("shop");
    EXPECT_EQ(catalog->size(), static_cast<std::size_t>(kIndexed));
    EXPECT_EQ(catalog->sequence(), sequence_);
    model_ = std::make_unique<Model>(*catalog);
  }

  const TemporaryDirectory data_;
  const HistoryCatalog file_;
  std::mt19937 random_{20240229};
  std::unique_ptr<TestEngine> engine_;
  std::unique_ptr<Model> model_;
  std::vector<std::string> ids_;
  std::vector<std::vector<float>> pool_;
  int version_ = 0;
  std::uint64_t sequence_ = 0;
};

TEST_P(LiveHistory, AgreesWithAScanOfWhatWasWritten) {
  for (int i = 0; i < kIndexed; ++i) {
    ids_.push_back("p" + std::to_string(i));
    ids_.push_back("new" + std::to_string(i));
  }
  for (int i = 0; i < 12; ++i) pool_.push_back(random_unit_vector(random_));
  open();
  reindex();
  for (int step = 0; step < kSteps && !HasFatalFailure(); ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    switch (random_() % 20) {
      case 0:
        merge();
        break;
      case 1:
        open();
        break;
      case 2:
        upsert_many();
        break;
      case 3:
        if (chance(3)) reindex();
        break;
      default:
        chance(3) ? erase() : upsert();
    }
    expect_agreement();
  }
  for (const Entry& entry : std::vector<Entry>(model_->entries())) {
    const std::string& id = entry.product.id;
    engine().delete_products("shop", {&id, 1});
    model_->erase(id);
  }
  expect_agreement();
  EXPECT_EQ(thrown_by([&] { engine().catalog("shop")->random_product(); }).code,
            ErrorCode::kNotFound);
  merge();  // there is nothing to build
  open();
  expect_agreement();
  upsert();
  merge();
  expect_agreement();
}

INSTANTIATE_TEST_SUITE_P(Kinds, LiveHistory, testing::ValuesIn(index::index_kinds()),
                         [](const auto& kind) { return kind.param; });

}  // namespace
}  // namespace vitrine::engine
