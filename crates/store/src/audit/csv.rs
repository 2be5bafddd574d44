//! Entries for spreadsheets. A cell that a spreadsheet would take for a formula is written as text.

use chrono::SecondsFormat;

use super::list::Recorded;

/// The first row.
pub const CSV_HEAD: &str = "seq,at,actor_id,actor_name,standing,action,subject_kind,subject_id,workspace_id,job_id,\
request_id,address,reason,before,after,entry_id,hash\r\n";

/// One entry as a row, its line end included.
#[must_use]
pub fn csv_row(entry: &Recorded) -> String {
    let content = entry.parsed();
    let text = |name: &str| match content.get(name) {
        None | Some(serde_json::Value::Null) => String::new(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let id = |id: &Option<uuid::Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let cells = [
        entry.seq.map(|seq| seq.to_string()).unwrap_or_default(),
        entry.at.to_rfc3339_opts(SecondsFormat::Micros, true),
        id(&entry.actor_id),
        entry.actor_name.clone().unwrap_or_default(),
        entry.standing.clone(),
        entry.action.clone(),
        entry.subject_kind.clone(),
        entry.subject_id.clone(),
        id(&entry.workspace_id),
        id(&entry.job_id),
        entry.request_id.clone().unwrap_or_default(),
        text("address"),
        text("reason"),
        text("before"),
        text("after"),
        entry.entry_id.to_string(),
        entry.hash.as_ref().map(hex::encode).unwrap_or_default(),
    ];
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    cells.join(",") + "\r\n"
}

fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r', '\t', ';']) || text != text.trim() {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn formulas_become_text_and_quotes_are_doubled() {
        for (text, written) in [
            ("plain", "plain"),
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-1,2", "\"'-1,2\""),
            ("\t=1", "\"'\t=1\""),
            ("a \"b\"", "\"a \"\"b\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            (" edge", "\" edge\""),
        ] {
            assert_eq!(cell(text), written);
        }
    }
}
