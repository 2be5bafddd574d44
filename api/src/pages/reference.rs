//! The reference, rendered from the OpenAPI document itself, so that it can't say anything else.

use std::fmt::Write;

use serde_json::Value;
use utoipa::openapi::OpenApi;

use super::contents::{self, Section};
use super::html::{FIRST_JOB, escape, frame, inline};
use crate::problem::Code;

pub(super) fn page(openapi: &OpenApi) -> String {
    let document = serde_json::to_value(openapi).unwrap_or_default();
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let mut body = format!(
        "<p><a href=\"/\">Countersign</a></p><h1>API reference</h1>{}",
        paragraphs(text("/info/description"))
    );
    body.push_str(
        "<p>Send <code>Authorization: Bearer cst_…</code> to every route below <code>/v1</code>. \
         See also the <a href=\"/openapi.json\">OpenAPI document</a> and the <a href=\"/docs/errors\">errors</a>.</p>",
    );
    let _ = write!(
        body,
        "<h2 id=\"first\">A first job</h2><pre><code>{}</code></pre>\
         <p>The answer is <code>202</code>, and its <code>Location</code> says where to see how it goes. \
         Beside <code>make up</code> a token is in <code>.countersign/demo-token</code>.</p>",
        escape(FIRST_JOB)
    );
    let sections = contents::sections(openapi, &document);
    body.push_str(&contents::list(&sections));
    for Section { name, anchor, description, operations } in &sections {
        let _ = write!(body, "<h2 id=\"{anchor}\">{}</h2>{}", escape(name), paragraphs(description));
        for operation in operations {
            write_operation(&mut body, operation);
        }
    }
    body.push_str("<h2 id=\"schemas\">Schemas</h2>");
    for (name, schema) in
        document.pointer("/components/schemas").and_then(Value::as_object).into_iter().flatten()
    {
        write_schema(&mut body, name, schema);
    }
    frame("Countersign API reference", &body)
}

fn write_operation(out: &mut String, operation: &contents::Operation<'_>) {
    let contents::Operation { method, path, node } = operation;
    let text = |key: &str| node[key].as_str().unwrap_or_default();
    let _ = write!(
        out,
        "<h3 id=\"{}\"><span class=\"verb\">{}</span> <code>{}</code></h3><p>{}</p>{}",
        escape(text("operationId")),
        method.to_uppercase(),
        escape(path),
        inline(text("summary")),
        paragraphs(text("description")),
    );
    if let Some(scope) = node.pointer("/security/0/token/0").and_then(Value::as_str) {
        let _ = write!(out, "<p class=\"dim\">Scope <code>{}</code></p>", escape(scope));
    }
    let mut rows = String::new();
    for parameter in list(node, "/parameters") {
        let required = if parameter["required"] == true { ", required" } else { "" };
        let _ = write!(
            rows,
            "<tr><td><code>{}</code></td><td class=\"dim\">{}{required}</td><td>{}</td><td class=\"text\">{}</td></tr>",
            escape(parameter["name"].as_str().unwrap_or_default()),
            escape(parameter["in"].as_str().unwrap_or_default()),
            type_of(&parameter["schema"]),
            inline(parameter["description"].as_str().unwrap_or_default()),
        );
    }
    if !rows.is_empty() {
        let _ =
            write!(out, "<div class=\"scroll\" tabindex=\"0\"><table><tbody>{rows}</tbody></table></div>");
    }
    if let Some(schema) = node.pointer("/requestBody/content/application~1json/schema") {
        let _ = write!(out, "<p>Body: {}</p>", type_of(schema));
    }
    out.push_str("<div class=\"scroll\" tabindex=\"0\"><table><tbody>");
    for (status, response) in node["responses"].as_object().into_iter().flatten() {
        let content = response["content"].as_object().and_then(|content| content.values().next());
        let _ = write!(
            out,
            "<tr><td class=\"short\"><code>{}</code></td><td class=\"text\">{}</td><td>{}</td></tr>",
            escape(status),
            link_codes(&inline(response["description"].as_str().unwrap_or_default())),
            content.map_or_else(String::new, |content| type_of(&content["schema"])),
        );
    }
    out.push_str("</tbody></table></div>");
}

/// Error codes among the `code` of a description lead to their pages.
fn link_codes(html: &str) -> String {
    let mut out = html.to_owned();
    for code in Code::ALL {
        let name = code.as_str();
        out = out.replace(
            &format!("<code>{name}</code>"),
            &format!("<a href=\"/docs/errors/{name}\"><code>{name}</code></a>"),
        );
    }
    out
}

fn write_schema(out: &mut String, name: &str, schema: &Value) {
    let name = escape(name);
    let _ = write!(
        out,
        "<details id=\"schema-{name}\"><summary><code>{name}</code> {}</summary>",
        inline(schema["description"].as_str().unwrap_or_default())
    );
    let parts: Vec<&Value> = match schema["allOf"].as_array() {
        Some(parts) => parts.iter().collect(),
        None => vec![schema],
    };
    for part in parts {
        if part["properties"].is_null() {
            let _ = write!(out, "<p>{}</p>", type_of(part));
            continue;
        }
        out.push_str("<div class=\"scroll\" tabindex=\"0\"><table><tbody>");
        let required: Vec<&str> = list(part, "/required").iter().filter_map(Value::as_str).collect();
        for (field, node) in part["properties"].as_object().into_iter().flatten() {
            let mark =
                if required.contains(&field.as_str()) { "" } else { "<span class=\"dim\"> optional</span>" };
            let _ = write!(
                out,
                "<tr><td><code>{}</code>{mark}</td><td>{}</td><td class=\"text\">{}</td></tr>",
                escape(field),
                type_of(node),
                inline(node["description"].as_str().unwrap_or_default()),
            );
        }
        out.push_str("</tbody></table></div>");
    }
    out.push_str("</details>");
}

/// A schema in a few words, with a link when it has a name.
fn type_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|target| target.rsplit('/').next()) {
        let name = escape(name);
        return format!("<a href=\"#schema-{name}\"><code>{name}</code></a>");
    }
    for choice in ["oneOf", "anyOf", "allOf"] {
        if let Some(options) = schema[choice].as_array() {
            let options: Vec<String> = options.iter().map(type_of).filter(|text| !text.is_empty()).collect();
            return options.join(" or ");
        }
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words
            .iter()
            .filter_map(Value::as_str)
            .map(|word| format!("<code>{}</code>", escape(word)))
            .collect();
        return words.join(", ");
    }
    let mut types: Vec<String> = match &schema["type"] {
        Value::String(one) => vec![one.clone()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => return String::new(),
    };
    types.retain(|word| word != "null");
    let base = types.join(" or ");
    let text = match (base.as_str(), schema["format"].as_str()) {
        ("array", _) => return format!("list of {}", type_of(&schema["items"])),
        (base, Some(format)) => format!("{base} ({format})"),
        (base, None) => base.to_owned(),
    };
    escape(&text)
}

pub(super) fn list<'a>(node: &'a Value, pointer: &str) -> &'a [Value] {
    node.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn paragraphs(text: &str) -> String {
    text.split("\n\n")
        .filter(|part| !part.trim().is_empty())
        .map(|part| format!("<p>{}</p>", inline(part)))
        .collect()
}
