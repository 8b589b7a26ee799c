#include "http/routes.h"

#include "http/endpoints/endpoints.h"

namespace vitrine::http {

std::span<const Route> routes() {
  static constexpr Route kRoutes[] = {
      {"POST", "/v1/catalogs/{catalog}/search", search},
      {"POST", "/v1/catalogs/{catalog}/search/batch", search_batch},
      {"POST", "/v1/classify", classify},
      {"POST", "/v1/embeddings", create_embeddings},
      {"GET", "/v1/models", list_models},
      {"GET", "/v1/catalogs", list_catalogs},
      {"GET", "/v1/catalogs/{catalog}", get_catalog},
      {"GET", "/v1/catalogs/{catalog}/products/{id}", get_product},
      {"GET", "/v1/catalogs/{catalog}/products/{id}/image", get_product_image},
      {"PUT", "/v1/catalogs/{catalog}/products/{id}", put_product, RunsOn::kRequestPool,
       Access::kAdmin},
      {"DELETE", "/v1/catalogs/{catalog}/products/{id}", delete_product, RunsOn::kRequestPool,
       Access::kAdmin},
      {"POST", "/v1/catalogs/{catalog}/products", put_products, RunsOn::kRequestPool,
       Access::kAdmin},
      {"GET", "/v1/admin/catalogs/{catalog}/generations", list_generations, RunsOn::kRequestPool,
       Access::kAdmin},
      {"POST", "/v1/admin/catalogs/{catalog}/rollback", roll_back, RunsOn::kRequestPool,
       Access::kAdmin},
      {"POST", "/v1/admin/catalogs/{catalog}/merge", start_merge, RunsOn::kRequestPool,
       Access::kAdmin},
      {"POST", "/v1/admin/catalogs/{catalog}/reindex", start_reindex, RunsOn::kRequestPool,
       Access::kAdmin},
      {"POST", "/v1/admin/catalogs/{catalog}/experiment", start_experiment, RunsOn::kRequestPool,
       Access::kAdmin},
      {"POST", "/v1/admin/catalogs/{catalog}/tune", start_tuning, RunsOn::kRequestPool,
       Access::kAdmin},
      {"GET", "/v1/admin/jobs", list_jobs, RunsOn::kRequestPool, Access::kAdmin},
      {"GET", "/v1/admin/jobs/{id}", get_job, RunsOn::kRequestPool, Access::kAdmin},
      {"GET", "/v1/admin/jobs/{id}/report.html", get_job_page, RunsOn::kRequestPool,
       Access::kAdmin},
      {"GET", "/v1/admin/jobs/{id}/report.csv", get_job_csv, RunsOn::kRequestPool, Access::kAdmin},
      {"POST", "/v1/admin/jobs/{id}/cancel", cancel_job, RunsOn::kRequestPool, Access::kAdmin},
      {"GET", "/healthz", get_health, RunsOn::kIoThread},
      {"GET", "/readyz", get_readiness, RunsOn::kIoThread},
      {"GET", "/", get_web_file, RunsOn::kIoThread},
      {"GET", "/style.css", get_web_file, RunsOn::kIoThread},
      {"GET", "/app.js", get_web_file, RunsOn::kIoThread},
      {"GET", "/icon.svg", get_web_file, RunsOn::kIoThread},
  };
  return kRoutes;
}

}  // namespace vitrine::http
