//! The little Markdown that our own error pages use, as HTML: headings, paragraphs, lists, code.

use std::fmt::Write;

use super::html::{escape, inline};

pub(super) fn render(text: &str) -> String {
    let mut out = String::new();
    let mut blocks = text.split("\n\n").peekable();
    while let Some(block) = blocks.next() {
        let block = block.trim_matches('\n');
        if block.is_empty() {
            continue;
        }
        if let Some(code) = block.strip_prefix("```") {
            let mut code = code.split_once('\n').map_or("", |(_, code)| code).to_owned();
            // A fence may hold empty lines: it goes on to its end.
            while !code.trim_end().ends_with("```") {
                let Some(more) = blocks.next() else { break };
                code.push_str("\n\n");
                code.push_str(more);
            }
            let code = code.trim_end().trim_end_matches("```");
            let _ = write!(out, "<pre><code>{}</code></pre>", escape(code.trim_end()));
        } else if let Some(heading) = block.strip_prefix("## ") {
            let _ = write!(out, "<h2>{}</h2>", inline(heading));
        } else if let Some(heading) = block.strip_prefix("# ") {
            let _ = write!(out, "<h1>{}</h1>", inline(heading));
        } else if block.starts_with("- ") {
            let joined = block.replace("\n  ", " ");
            let items: String = joined
                .lines()
                .map(|line| format!("<li>{}</li>", inline(line.trim_start_matches("- "))))
                .collect();
            let _ = write!(out, "<ul>{items}</ul>");
        } else {
            let _ = write!(out, "<p>{}</p>", inline(&block.replace('\n', " ")));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn blocks_become_html() {
        let text = "# a_b\n\nOne\ntwo `x`.\n\n- first\n  goes on\n- second\n\n```sh\ncurl <x>\n\nmore\n```\n\n## End\n";
        assert_eq!(
            render(text),
            "<h1>a_b</h1><p>One two <code>x</code>.</p><ul><li>first goes on</li><li>second</li></ul>\
             <pre><code>curl &lt;x&gt;\n\nmore</code></pre><h2>End</h2>"
        );
    }
}
