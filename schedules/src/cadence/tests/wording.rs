//! Sentences, word for word.

use super::cadence;

#[test]
fn sentences() {
    let table = [
        ("30 2 * * *", "every day at 02:30"),
        ("@hourly", "every hour on the hour"),
        ("@daily", "every day at 00:00"),
        ("@weekly", "every Sunday at 00:00"),
        ("@monthly", "on the 1st of every month at 00:00"),
        ("@yearly", "on the 1st of January at 00:00"),
        ("* * * * *", "every minute"),
        ("*/15 * * * *", "every 15 minutes"),
        ("0,30 * * * *", "every 30 minutes"),
        ("15,45 * * * *", "every hour at minutes 15 and 45"),
        ("5 * * * *", "every hour at minute 5"),
        // Not every 40 minutes: the steps start again each hour.
        ("*/40 * * * *", "every hour at minutes 0 and 40"),
        ("* * * * * *", "every second"),
        ("*/10 * * * * *", "every 10 seconds"),
        ("7 * * * * *", "every minute at second 7"),
        ("15 30 2 * * *", "every day at 02:30:15"),
        ("0 9,17 * * *", "every day at 09:00 and 17:00"),
        ("0 */6 * * *", "every day at 00:00, 06:00, 12:00 and 18:00"),
        ("*/15 9-17 * * 1-5", "every 15 minutes from 09:00 to 17:45, every day from Monday to Friday"),
        ("0 6-22 * * *", "every hour on the hour from 06:00 to 22:00, every day"),
        ("* 2 * * *", "every minute from 02:00 to 02:59, every day"),
        ("*/5 * * * 0,6", "every 5 minutes, every Saturday and Sunday"),
        ("0 9 * * mon,thu", "every Monday and Thursday at 09:00"),
        ("0 9 * * fri-sun", "every day from Friday to Sunday at 09:00"),
        ("0 9 * * 0,1,2", "every Monday, Tuesday and Sunday at 09:00"),
        ("0 9 * jan,jul *", "every day in January and July at 09:00"),
        ("0 9 * 1 1", "every Monday in January at 09:00"),
        ("0 9 1,15 * *", "on the 1st and 15th of every month at 09:00"),
        ("0 9 1-7 * *", "every day from the 1st to the 7th of every month at 09:00"),
        ("0 9 31 * *", "on the 31st of every month (a month that lacks a day skips it) at 09:00"),
        ("0 9 30 4,6 *", "on the 30th of April and June at 09:00"),
        ("0 9 29 2 *", "on the 29th of February (leap years only) at 09:00"),
        ("0 9 13 * 5", "on the 13th of every month and also every Friday at 09:00"),
        ("0 9 1-31 * 5", "every day at 09:00"),
        ("*/7 * * * *", "every hour at minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56"),
        (
            "0 9 */15 * 1",
            "whenever all of these fit: second 0; minute 0; hour 9; day of month 1, 16 or 31 and \
             also day of week Monday (both must fit); any month",
        ),
        (
            "*/30 0 * * * 1",
            "whenever all of these fit: second 0 or 30; minute 0; any hour; day of week Monday; \
             any month",
        ),
        (
            "1-40 3,5 * 2 *",
            &format!(
                "whenever all of these fit: second 0; minute {} or 40; hour 3 or 5; any day; month \
                 February",
                (1..40).map(|n| n.to_string()).collect::<Vec<_>>().join(", ")
            ),
        ),
    ];
    for (text, words) in table {
        assert_eq!(cadence(text, "Europe/Madrid").describe(), format!("{words}, Europe/Madrid"), "{text}");
    }
}

#[test]
fn intervals_name_no_zone() {
    for (text, words) in [
        ("@every 1s", "every second"),
        ("@every 90s", "every 1 minute and 30 seconds"),
        ("@every 2h", "every 2 hours"),
        ("@every 1d", "every day"),
    ] {
        assert_eq!(
            cadence(text, "Europe/Madrid").describe(),
            format!("{words}, counted from 1970-01-01 00:00 UTC"),
        );
    }
}
