//! `text.count_words`: counts the words of a text and says which are the most frequent.

use std::collections::HashMap;
use std::time::Duration;

use domain::{Done, EffectClass, JobError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{Ctx, Job};

/// Payload of `text.count_words`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CountWords {
    /// The text; shown to nobody.
    #[schemars(length(min = 1, max = 100_000), extend("x-redact" = true))]
    pub text: String,
    /// How many of the most frequent words to name.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 50))]
    pub top: usize,
}

fn three() -> usize {
    3
}

impl Job for CountWords {
    const KIND: &'static str = "text.count_words";
    const LANE: &'static str = "bulk";
    const EFFECT: EffectClass = EffectClass::Read;
    const TIMEOUT: Duration = Duration::from_secs(30);
    const SUMMARY: &'static str = "Counts the words of a text.";

    async fn run(self, ctx: &Ctx) -> Result<Done, JobError> {
        let mut counts: HashMap<String, usize> = HashMap::new();
        let words = self.text.split_whitespace();
        for (number, word) in words.enumerate() {
            if number % 1_000 == 0 {
                if ctx.is_cancelled() {
                    return Err(ctx.stopped());
                }
                ctx.progress(number as u64, None);
            }
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
        if counts.is_empty() {
            return Err(JobError::fail("text_blank", "the text holds no words"));
        }
        let total: usize = counts.values().sum();
        let mut ranked: Vec<_> = counts.into_iter().collect();
        ranked.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        ranked.truncate(self.top);
        Ok(Done::with(json!({ "words": total, "top": ranked })))
    }
}
