use std::collections::HashSet;

use super::Pattern;

/// The patterns of one rule. A text is looked up among the patterns without wildcards and compared with the
/// others, so that many learnt patterns cost no more than a few.
pub(in crate::appraise::policy) struct PatternIndex<'p, P> {
    texts: HashSet<String>,
    normal_forms: HashSet<String>,
    wildcards: Vec<&'p P>,
}

impl<'p, P: Pattern> PatternIndex<'p, P> {
    pub(in crate::appraise::policy) fn new(patterns: &'p [P]) -> Self {
        let mut index = Self { texts: HashSet::new(), normal_forms: HashSet::new(), wildcards: Vec::new() };
        for pattern in patterns {
            match pattern.only_text() {
                Some(text) => {
                    index.normal_forms.extend(P::normal_form(&text));
                    index.texts.insert(text);
                }
                None => index.wildcards.push(pattern),
            }
        }
        index
    }

    /// Returns whether one of the patterns matches.
    pub(in crate::appraise::policy) fn fits(&self, text: &str) -> bool {
        self.texts.contains(text)
            || P::normal_form(text).is_some_and(|form| self.normal_forms.contains(&form))
            || self.wildcards.iter().any(|pattern| pattern.fits(text))
    }

    /// Returns the texts of the patterns without wildcards.
    pub(in crate::appraise::policy) fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(String::as_str)
    }
}
