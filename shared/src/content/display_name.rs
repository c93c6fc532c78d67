//! Names that strangers choose, made fit to be shown.

/// The longest name shown, in characters.
pub const MAX_NAME_CHARS: usize = 64;

/// The name without what would break a line, turn the writing direction of the text around it, or look
/// like nothing: such characters count as one space, runs of spaces as one, none at the ends, at most 64
/// characters. `None` if nothing is left.
pub fn display_name(name: &str) -> Option<String> {
    let words = name.split(|c: char| c.is_whitespace() || is_disruptive(c));
    let mut joined = String::with_capacity(name.len());
    for word in words.filter(|word| !word.is_empty()) {
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(word);
    }
    let cut: String = joined.chars().take(MAX_NAME_CHARS).collect();
    let trimmed = cut.trim_end();
    let visible = trimmed.chars().any(|c| !is_joiner(c));
    visible.then(|| trimmed.to_owned())
}

/// Control and bidirectional control characters, and those that take part in no writing.
fn is_disruptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' // soft hyphen
            | '\u{034F}' // combining grapheme joiner
            | '\u{061C}' | '\u{200E}' | '\u{200F}' // direction marks
            | '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}' // blank letters
            | '\u{17B4}' | '\u{17B5}' | '\u{180E}'
            | '\u{200B}' | '\u{2060}'..='\u{2064}' | '\u{FEFF}' // no width
            | '\u{2028}' | '\u{2029}' // separators
            | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' // embeddings, overrides, isolates
            | '\u{206A}'..='\u{206F}' // deprecated format characters
            | '\u{2800}' // blank Braille
            | '\u{E000}'..='\u{F8FF}' // private use
            | '\u{FFF0}'..='\u{FFFC}' // specials
            | '\u{1D173}'..='\u{1D17A}' // musical format characters
            | '\u{E0000}'..='\u{10FFFF}' // tags, planes 15 and 16
        )
}

/// Joiners and variation selectors: part of emoji and of several scripts, but nothing by themselves.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200C}' | '\u{200D}' | '\u{FE00}'..='\u{FE0F}')
}
