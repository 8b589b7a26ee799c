#pragma once

#include "http/message.h"
#include "http/router.h"

/// Every endpoint, one file each; routes.cpp says where they are. docs/openapi.yaml describes them.
namespace vitrine::http {

Response search(const Services& services, const Request& request);
Response search_batch(const Services& services, const Request& request);
Response classify(const Services& services, const Request& request);
Response create_embeddings(const Services& services, const Request& request);
Response list_models(const Services& services, const Request& request);
Response list_catalogs(const Services& services, const Request& request);
Response get_catalog(const Services& services, const Request& request);
Response get_product(const Services& services, const Request& request);
Response get_product_image(const Services& services, const Request& request);
Response put_product(const Services& services, const Request& request);
Response put_products(const Services& services, const Request& request);
Response delete_product(const Services& services, const Request& request);
Response list_generations(const Services& services, const Request& request);
Response roll_back(const Services& services, const Request& request);
Response start_merge(const Services& services, const Request& request);
Response start_reindex(const Services& services, const Request& request);
Response start_experiment(const Services& services, const Request& request);
Response start_tuning(const Services& services, const Request& request);
Response cancel_job(const Services& services, const Request& request);
/// What an experiment or a tuning measured, as a page and as CSV.
Response get_job_page(const Services& services, const Request& request);
Response get_job_csv(const Services& services, const Request& request);
Response get_job(const Services& services, const Request& request);
Response list_jobs(const Services& services, const Request& request);
Response get_health(const Services& services, const Request& request);
Response get_readiness(const Services& services, const Request& request);
/// The page at "/" and the files it loads.
Response get_web_file(const Services& services, const Request& request);

}  // namespace vitrine::http
