// SPDX-License-Identifier: Apache-2.0
// GET /: the page for people.
#include "tokamak/server/page/page.h"

#include "tokamak/server/routes/routes.h"

namespace tokamak::server {

void page(Service&, const ExchangePtr& exchange) {
  HttpResponse response;
  response.content_type = "text/html; charset=utf-8";
  // Nothing from elsewhere runs or loads, whatever text the model writes.
  response.headers = {{"Content-Security-Policy",
                       "default-src 'none'; connect-src 'self'; img-src data:; "
                       "script-src 'unsafe-inline'; style-src 'unsafe-inline'; base-uri 'none'; "
                       "form-action 'none'; frame-ancestors 'none'"},
                      {"Cache-Control", "no-cache"},
                      {"X-Content-Type-Options", "nosniff"}};
  response.body = page_html();
  exchange->respond(std::move(response));
}

}  // namespace tokamak::server
