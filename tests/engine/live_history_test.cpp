// Random histories of updates, merges, reindexes and restarts, against a list that is scanned.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <random>

#include "index/vector_index.h"
#include "live_support.h"

namespace vitrine::engine {
namespace {

constexpr int kIndexed = 40;
constexpr int kSteps = 150;

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

/// A search answers what a scan of the model gives. exhaustive: nothing may be missed.
void expect_search_agrees(const Catalog& catalog, const Model& model, Target target,
                          const std::vector<float>& query, int k,
                          const index::SearchOptions& options, bool exhaustive) {
  constexpr double kRounding = 1e-5;
  const index::SearchResult found =
      catalog.search(target, MatrixView{query.data(), 1, query.size()}, k, options);
  const std::size_t wanted = std::min(static_cast<std::size_t>(k), model.entries().size());
  std::vector<bool> hit(model.entries().size(), false);
  double worst = 2;
  std::ptrdiff_t last_place = -1;
  for (std::size_t rank = 0; rank < found.k; ++rank) {
    if (rank >= wanted) {
      EXPECT_EQ(found.rows[rank], index::kNoRow);
      continue;
    }
    ASSERT_NE(found.rows[rank], index::kNoRow) << rank << " of " << wanted;
    const std::string& id = catalog.id(static_cast<std::size_t>(found.rows[rank]));
    const Entry* entry = model.find(id);
    ASSERT_NE(entry, nullptr) << id << " should be gone";
    EXPECT_EQ(catalog.row_of(id), static_cast<std::size_t>(found.rows[rank])) << "a dead row";
    const std::ptrdiff_t place = entry - model.entries().data();
    EXPECT_FALSE(hit[place]) << id << " twice";
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
    if (!hit[i]) {
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
  }

  bool chance(unsigned one_in) { return random_() % one_in == 0; }

  void upsert() {
    ProductUpdate update;
    update.id = ids_[random_() % ids_.size()];
    const bool exists = model_->find(update.id) != nullptr;
    ++version_;
    if (!exists || chance(2)) update.caption = "version " + std::to_string(version_);
    if (chance(2)) update.attributes = nlohmann::json{{"v", version_}};
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
  const TestCatalog file_{kIndexed};
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
