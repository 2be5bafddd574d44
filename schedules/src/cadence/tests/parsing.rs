//! What is read, and what is refused with which words.

use super::super::{Expression, ExpressionError, parse_zone};
use super::{cadence, readings, refusal};

/// Two spellings of one expression have the same ticks.
#[test]
fn spellings_that_mean_the_same() {
    let table = [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@Annually", "0 0 1 1 *"),
        ("0 30 2 * * *", "30 2 * * *"),
        ("  30\t2  * * *  ", "30 2 * * *"),
        ("0 9 * * 7", "0 9 * * 0"),
        ("0 9 * * sun", "0 9 * * 0"),
        ("0 9 * * MON-Fri", "0 9 * * 1-5"),
        ("0 9 * * fri-sun", "0 9 * * 5,6,0"),
        ("0 9 * * 5-7", "0 9 * * 0,5,6"),
        ("0 9 * * 7-2", "0 9 * * 0-2"),
        ("0 9 * * 1-7/2", "0 9 * * 0,1,3,5"),
        ("0 9 * * 0-7", "0 9 * * *"),
        ("0 9 1 JAN,jul *", "0 9 1 1,7 *"),
        ("0 9 1 jan-mar *", "0 9 1 1-3 *"),
        ("*/15 * * * *", "0,15,30,45 * * * *"),
        ("10-40/15 * * * *", "10,25,40 * * * *"),
        ("5-59/20 8 * * *", "5,25,45 8 * * *"),
        ("0 0-23 * * *", "0 * * * *"),
        ("0-59/5,7 * * * *", "*/5,7 * * * *"),
        ("0 9 */10 * *", "0 9 1,11,21,31 * *"),
        ("@every 1h30m", "@every 90m"),
        ("@every 1h 30m", "@every 5400s"),
        ("@every 1d", "@EVERY 24h"),
    ];
    for (one, other) in table {
        for zone in ["Europe/Madrid", "Asia/Kathmandu"] {
            assert_eq!(
                readings(one, zone, "2026-01-01T00:00", 40),
                readings(other, zone, "2026-01-01T00:00", 40),
                "{one} and {other}"
            );
        }
    }
}

#[test]
fn errors_name_the_field_and_what_it_allows() {
    let table = [
        ("60 * * * *", ["minute `60`", "60 is out of range", "0-59"]),
        ("0 24 * * *", ["hour `24`", "24 is out of range", "0-23"]),
        ("0 0 0 * *", ["day of month `0`", "0 is out of range", "1-31"]),
        ("0 0 32 * *", ["day of month `32`", "32 is out of range", "1-31"]),
        ("0 0 1 13 *", ["month `13`", "13 is out of range", "jan-dec"]),
        ("0 0 1 0 *", ["month `0`", "0 is out of range", "1-12"]),
        ("0 0 * * 8", ["day of week `8`", "8 is out of range", "0 and 7 are Sunday"]),
        ("0 0 * * funday", ["day of week `funday`", "not a value", "sun-sat"]),
        ("0 0 * mon *", ["month `mon`", "not a value", "jan-dec"]),
        ("75 0 0 * * *", ["second `75`", "75 is out of range", "0-59"]),
        ("0 22-2 * * *", ["hour `22-2`", "22-23,0-2", "0-23"]),
        ("0 0 * * 5-2", ["day of week `5-2`", "5-6,0-2", "mon-fri"]),
        ("0 0 1 nov-feb *", ["month `nov-feb`", "11-12,1-2", "1-12"]),
        ("5/15 * * * *", ["minute `5/15`", "write 5-59/n", "*/15"]),
        ("*/0 * * * *", ["minute `*/0`", "`0` is not a step", "1 to 59"]),
        ("*/90 * * * *", ["minute `*/90`", "longer than the range 0-59", "@every"]),
        ("*/ * * * *", ["minute `*/`", "is not a step", "1 to 59"]),
        ("1,,2 * * * *", ["minute `1,,2`", "empty entry", "0-59"]),
        ("1- * * * *", ["minute `1-`", "a number is missing", "0-59"]),
        ("-1 * * * *", ["minute `-1`", "a number is missing", "0-59"]),
        ("+5 * * * *", ["minute `+5`", "not a value", "0-59"]),
        ("1.5 * * * *", ["minute `1.5`", "not a value", "0-59"]),
        ("99999999999999 * * * *", ["minute", "is out of range", "0-59"]),
        ("0 0 L * *", ["day of month `L`", "not standard cron", "1-31"]),
        ("0 0 ? * 1", ["day of month `?`", "not standard cron", "1-31"]),
        ("0 0 * * 5#3", ["day of week `5#3`", "not standard cron", "mon-fri"]),
        ("0 0 * * *é", ["day of week", "not a value", "mon-fri"]),
    ];
    for (text, parts) in table {
        let said = refusal(text);
        for part in parts {
            assert!(said.contains(part), "{text}: {said:?} lacks {part:?}");
        }
    }
}

#[test]
fn errors_about_the_whole() {
    let table = [
        ("", "is empty"),
        (" \t", "is empty"),
        ("* * * *", "this one has 4"),
        ("0 0 0 1 1 * 2030", "this one has 7 (years are not read)"),
        ("TZ=UTC 0 0 0 1 1 *", "set on the schedule"),
        ("@reboot", "`@reboot` is not known; allowed: @hourly"),
        ("@daily 5", "is not known"),
        ("@every", "the interval is missing"),
        ("@every 0s", "shorter than 1 second"),
        ("@every 500ms", "unit s, m, h or d"),
        ("@every 1.5h", "unit s, m, h or d"),
        ("@every 90", "unit s, m, h or d"),
        ("@every -5s", "unit s, m, h or d"),
        ("@every s", "whole number"),
        ("@every 1m1h", "the longest first"),
        ("@every 1m1m", "each unit once"),
        ("@every 367d", "longer than 366 days"),
        ("@every 99999999999999999d", "longer than 366 days"),
        ("@every 99999999999999999999999d", "whole number"),
    ];
    for (text, part) in table {
        let said = refusal(text);
        assert!(said.contains(part), "{text}: {said:?} lacks {part:?}");
    }
    let long = "0,".repeat(200);
    assert_eq!(Expression::parse(&long), Err(ExpressionError::TooLong { length: 400 }));
}

#[test]
fn dates_that_never_come_are_refused() {
    for text in ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 30-31 feb *", "0 0 31 4 */2", "0 0 0 30 2 *"] {
        assert!(refusal(text).contains("never fires"), "{text}");
    }
    // A Monday in February will do where the 30th does not come.
    assert_eq!(
        readings("0 0 30 2 1", "UTC", "2026-01-01T00:00", 2),
        ["2026-02-02 00:00+00:00", "2026-02-09 00:00+00:00"]
    );
    assert!(Expression::parse("0 0 31 2,3 *").is_ok());
}

#[test]
fn the_source_text_is_kept() {
    let expression: Expression = " */5  9-17 * * mon-fri ".parse().unwrap();
    assert_eq!(expression.source(), "*/5  9-17 * * mon-fri");
    assert_eq!(expression.to_string(), expression.source());
    let json = serde_json::to_string(&expression).unwrap();
    assert_eq!(json, r#""*/5  9-17 * * mon-fri""#);
    assert_eq!(serde_json::from_str::<Expression>(&json).unwrap(), expression);
    let said = serde_json::from_str::<Expression>(r#""61 * * * *""#).unwrap_err();
    assert!(said.to_string().contains("minute `61`"));
}

#[test]
fn zones_are_named_and_suggested() {
    assert_eq!(cadence("@daily", "Europe/Madrid").zone(), chrono_tz::Europe::Madrid);
    for (wrong, right) in [
        ("madrid", "`Europe/Madrid`"),
        ("america/new_york", "`America/New_York`"),
        ("New York", "`America/New_York`"),
        ("+02:00", "IANA name"),
        ("", "IANA name"),
    ] {
        let said = parse_zone(wrong).unwrap_err().to_string();
        assert!(said.contains(right), "{wrong}: {said}");
    }
}
