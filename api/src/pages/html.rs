//! The frame of every page, and the one way text gets into it.

use std::fmt::Write;

/// The first thing to try: a token and a job.
pub(super) const FIRST_JOB: &str = "\
TOKEN=$(countersign token create --org acme --create-org --name try)
curl -i http://127.0.0.1:8080/v1/jobs \\
  -H \"Authorization: Bearer $TOKEN\" -H \"Content-Type: application/json\" \\
  -d '{\"kind\": \"system.echo\", \"payload\": {\"message\": \"hello\"}}'";

/// Looks: readable on a phone, light and dark.
const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1b1f24;--dim:#57606a;--line:#d0d7de;--paper:#fff;--tint:#f6f8fa;--accent:#0b5fb0}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#9aa4af;--line:#30363d;--paper:#0d1117;--tint:#161b22;--accent:#6cb2ff}}
*{box-sizing:border-box}body{margin:0 auto;max-width:60rem;padding:1.5rem 1rem 4rem;background:var(--paper);color:var(--ink);font:1rem/1.55 system-ui,sans-serif}
a{color:var(--accent)}h1{font-size:1.6rem}h2{margin-top:2.2rem;border-bottom:1px solid var(--line);padding-bottom:.2rem;font-size:1.25rem}h3{margin-bottom:.2rem;font-size:1.05rem}
h1,h2,h3,p,li,dd,td,summary{overflow-wrap:anywhere}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}code{background:var(--tint);padding:.1em .3em;border-radius:.25rem}
pre{background:var(--tint);border:1px solid var(--line);border-radius:.4rem;padding:.7rem;overflow-x:auto}pre code{background:none;padding:0}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:.4rem;margin:.6rem 0}table{border-collapse:collapse;width:100%}
td,th{padding:.3rem .7rem;text-align:left;vertical-align:top;min-width:4.5rem}td.text{min-width:11rem}td.short,th.short{min-width:0;width:1%;white-space:nowrap}td.dim,td code{overflow-wrap:break-word}tr+tr td,tbody tr:first-child td{border-top:1px solid var(--line)}table>tbody:first-child>tr:first-child>td{border-top:0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.35rem 1rem;margin:.8rem 0}dt{font-weight:700}dd{margin:0}
@media(max-width:34rem){dl{display:block}dd{margin:0 0 .6rem}}
.dim{color:var(--dim)}.verb{font-weight:700}details{margin:.4rem 0}summary{cursor:pointer}";

/// A page with this title; `body` is HTML.
pub(super) fn frame(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title}</title>\
         <style>{STYLE}</style></head><body>{body}</body></html>\n"
    )
}

/// Text as HTML shows it.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Text with `code` between backticks.
pub(super) fn inline(text: &str) -> String {
    let mut out = String::new();
    for (position, part) in text.split('`').enumerate() {
        let part = escape(part);
        let _ = if position % 2 == 1 { write!(out, "<code>{part}</code>") } else { write!(out, "{part}") };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(escape("<b>\"&'"), "&lt;b&gt;&quot;&amp;&#39;");
        assert_eq!(inline("a `<b>` c"), "a <code>&lt;b&gt;</code> c");
    }
}
