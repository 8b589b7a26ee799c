#include "base/error.h"
#include "base/text.h"
#include "engine/engine.h"
#include "engine/experiment_report.h"
#include "http/endpoints/endpoints.h"

namespace vitrine::http {
namespace {

/// What the job measured. Throws NotFound for another kind of job, FailedPrecondition before its
/// end.
engine::JobStatus measured_job(const Services& services, const Request& request) {
  engine::JobStatus job = services.engine.job(request.path_parameter("id"));
  if (job.kind != engine::JobKind::kExperiment && job.kind != engine::JobKind::kTune) {
    throw not_found("the job " + printable(job.id) +
                    " measures nothing; experiments and tunings do");
  }
  if (!job.experiment && !job.tuning) {
    throw failed_precondition("the job " + printable(job.id) + " has no report: it is " +
                              std::string(engine::to_string(job.state)));
  }
  return job;
}

}  // namespace

Response get_job_page(const Services& services, const Request& request) {
  const engine::JobStatus job = measured_job(services, request);
  Response response;
  response.content_type = "text/html; charset=utf-8";
  response.headers = {
      {"Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox"}};
  response.body = job.tuning ? engine::to_html(job.tuning->experiment, &job.tuning->choice)
                             : engine::to_html(*job.experiment);
  return response;
}

Response get_job_csv(const Services& services, const Request& request) {
  const engine::JobStatus job = measured_job(services, request);
  Response response;
  response.content_type = "text/csv; charset=utf-8";
  response.body = engine::to_csv(job.tuning ? job.tuning->experiment : *job.experiment);
  return response;
}

}  // namespace vitrine::http
