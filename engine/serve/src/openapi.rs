//! The OpenAPI document, made from the annotations at the handlers.

use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Headwater",
        description = "Append events, query them with SQL, and watch what comes.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        crate::streams::list,
        crate::streams::describe,
        crate::append::append,
        crate::tail::stream,
        crate::sql::run,
        crate::tail::query,
        crate::jobs::list,
        crate::jobs::show,
        crate::jobs::pause,
        crate::jobs::resume,
        crate::replay::replay,
        crate::steps::step,
        crate::health::alive,
        crate::health::ready,
        crate::health::metrics,
        this_document,
    ),
    tags(
        (name = "streams", description = "append-only, sharded, typed"),
        (name = "sql", description = "statements, bounded queries, tails of streaming queries"),
        (name = "jobs", description = "queries whose results go on being appended"),
        (name = "health", description = "for whoever watches the process"),
    ),
)]
struct Document;

/// This document.
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "health",
    responses((status = 200, description = "this document", content_type = "application/json")),
)]
#[expect(dead_code, reason = "carries the annotation; the handler is in the table of routes")]
fn this_document() {}

/// The document.
pub(crate) fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn every_route_is_in_the_document_and_nothing_else() {
        let document = serde_json::to_value(super::document()).unwrap();
        let documented: BTreeSet<_> = document["paths"].as_object().unwrap().keys().cloned().collect();
        let routed: BTreeSet<_> = crate::routes::table().iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(documented, routed);
    }

    #[test]
    fn every_reference_in_the_document_leads_somewhere() {
        let document = serde_json::to_value(super::document()).unwrap();
        let text = document.to_string();
        let mut references = 0;
        for part in text.split("\"$ref\":\"#").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
            references += 1;
        }
        assert!(references > 5);
    }
}
