//! The command that is being read: its first words, and which gates it may be for.

use sha1_smol::Sha1;

use super::super::Cut;
use super::super::gate::{Gates, Mask, OfPort, Pattern, each};
use super::super::search::Matched;

/// Words of a command that are kept: a script's name, number of keys and first key among them.
const WORDS_KEPT: usize = 4;

pub struct Command {
    words: [Cut; WORDS_KEPT],
    /// The word that is being read, if it is a later one.
    later: Cut,
    /// Words that were read.
    pub count: u32,
    /// Gates that it may still be for.
    open: Mask,
    /// Gates that it is for.
    pub sure: Mask,
    /// Those of them that were told so.
    told: Mask,
    /// Gates one of whose arguments has come.
    argument: Mask,
    /// Gates the text of whose script has come.
    script: Mask,
    study: Option<Study>,
}

/// A script on its way.
struct Study {
    sha: Sha1,
    matched: Vec<Matched>,
}

impl Default for Command {
    fn default() -> Self {
        Self {
            words: [Cut::EMPTY; WORDS_KEPT],
            later: Cut::EMPTY,
            count: 0,
            open: 0,
            sure: 0,
            told: 0,
            argument: 0,
            script: 0,
            study: None,
        }
    }
}

impl Command {
    pub fn begin(&mut self, port: OfPort) {
        self.words.iter_mut().for_each(Cut::clear);
        self.later.clear();
        self.count = 0;
        self.open = port.before | port.after;
        (self.sure, self.told, self.argument, self.script) = (0, 0, 0, 0);
        self.study = None;
    }

    pub fn word(&self, index: usize) -> Option<&Cut> {
        self.words.get(index).filter(|_| index < self.count as usize)
    }

    /// Whether its name is this one.
    pub fn is(&self, name: &str) -> bool {
        self.word(0).is_some_and(|word| word.is_word(name.as_bytes()))
    }

    /// The next piece of a word.
    pub fn piece(&mut self, index: u32, piece: &[u8], last: bool, gates: &mut Gates, port: OfPort) {
        let word = self.words.get_mut(index as usize).unwrap_or(&mut self.later);
        word.add(piece);
        if port.learns != 0 && index >= 1 && self.is_text(index) {
            self.study(piece, last, gates, port.learns);
        }
        if last {
            self.count = index.saturating_add(1);
            self.look_for_argument(index, gates);
            if index as usize >= WORDS_KEPT {
                self.later.clear();
            }
        }
    }

    /// Settles what can be settled. Returns the gates that are to be told that it is for them: once, and not
    /// before the words are known that say to a reader which command it is.
    pub fn decide(&mut self, complete: bool, gates: &Gates) -> Mask {
        for gate in each(self.open) {
            let Some(pattern) = gates.get(gate).map(|gate| &gate.pattern) else { continue };
            let bit = 1 << gate;
            if let Some(sure) = self.judge(pattern, bit, complete) {
                self.open &= !bit;
                self.sure |= if sure { bit } else { 0 };
            }
        }
        if !complete && (self.count as usize) < WORDS_KEPT {
            return 0;
        }
        let new = self.sure & !self.told;
        self.told |= new;
        new
    }

    /// The gates that it may still be for, or is for and were not told.
    pub fn open(&self) -> Mask {
        self.open | self.sure & !self.told
    }

    /// It is for no other gate than those that are sure.
    pub fn rule_out(&mut self) {
        self.open = 0;
    }

    /// For people.
    pub fn brief(&self) -> String {
        let Some(name) = self.word(0) else { return String::new() };
        let mut brief = name.show(24).to_uppercase();
        let shown = if self.runs_script() { [1, 3] } else { [1, 2] };
        for index in shown {
            if let Some(word) = self.word(index) {
                brief.push(' ');
                // A SHA-1 is told by its beginning; a text wants more.
                let sha = index == 1 && (self.is("EVALSHA") || self.is("EVALSHA_RO"));
                brief.push_str(&word.show(if sha { 12 } else { 48 }));
            }
        }
        brief
    }

    fn judge(&self, pattern: &Pattern, bit: Mask, complete: bool) -> Option<bool> {
        let checks = [
            self.has_name(pattern, complete),
            self.has_script(pattern, bit, complete),
            self.has_key(pattern, complete),
            match &pattern.argument {
                Some(_) if self.argument & bit == 0 => complete.then_some(false),
                _ => Some(true),
            },
        ];
        if checks.contains(&Some(false)) {
            return Some(false);
        }
        checks.iter().all(Option::is_some).then_some(true)
    }

    fn has_name(&self, pattern: &Pattern, complete: bool) -> Option<bool> {
        let is = |index: usize, wanted: &Option<Box<[u8]>>| match (wanted, self.word(index)) {
            (None, _) => Some(true),
            (Some(wanted), Some(word)) => Some(word.is_word(wanted)),
            (Some(_), None) => complete.then_some(false),
        };
        match is(0, &pattern.name)? {
            true => is(1, &pattern.subcommand),
            false => Some(false),
        }
    }

    fn has_script(&self, pattern: &Pattern, bit: Mask, complete: bool) -> Option<bool> {
        let Some(needle) = &pattern.script else { return Some(true) };
        if self.count == 0 {
            return complete.then_some(false);
        }
        let word = self.word(1);
        if self.is("EVALSHA") || self.is("EVALSHA_RO") {
            word.map(|sha| pattern.knows(sha.kept())).or(complete.then_some(false))
        } else if self.is("FCALL") || self.is("FCALL_RO") {
            word.map(|name| needle.is_in(name.kept())).or(complete.then_some(false))
        } else if self.is("EVAL") || self.is("EVAL_RO") {
            if self.script & bit != 0 {
                return Some(true);
            }
            (word.is_some() || complete).then_some(false)
        } else {
            Some(false)
        }
    }

    fn has_key(&self, pattern: &Pattern, complete: bool) -> Option<bool> {
        let Some(needle) = &pattern.key else { return Some(true) };
        if self.count == 0 {
            return complete.then_some(false);
        }
        let index = if self.runs_script() { 3 } else { 1 };
        match (self.word(2), self.word(index)) {
            (Some(keys), _) if index == 3 && keys.is(b"0") => Some(false),
            (_, Some(key)) => Some(needle.is_in(key.kept())),
            (_, None) => complete.then_some(false),
        }
    }

    fn runs_script(&self) -> bool {
        ["EVALSHA", "EVAL", "FCALL", "EVALSHA_RO", "EVAL_RO", "FCALL_RO"].iter().any(|name| self.is(name))
    }

    /// Whether this word is the text of a script.
    fn is_text(&self, index: u32) -> bool {
        match index {
            1 => self.is("EVAL") || self.is("EVAL_RO"),
            2 => self.is("SCRIPT") && self.word(1).is_some_and(|word| word.is_word(b"LOAD")),
            _ => false,
        }
    }

    fn study(&mut self, piece: &[u8], last: bool, gates: &mut Gates, learns: Mask) {
        let count = gates.count_all();
        let study = self
            .study
            .get_or_insert_with(|| Study { sha: Sha1::new(), matched: vec![Matched::default(); count] });
        study.sha.update(piece);
        for gate in each(learns) {
            if let (Some(it), Some(matched)) = (gates.get(gate), study.matched.get_mut(gate as usize))
                && it.pattern.script.as_ref().is_some_and(|needle| needle.seen(matched, piece))
            {
                self.script |= 1 << gate;
            }
        }
        if last {
            let text = study.sha.digest().to_string();
            self.study = None;
            let Ok(sha) = <[u8; 40]>::try_from(text.as_bytes()) else { return };
            each(self.script).for_each(|gate| gates.learn(gate, sha));
            let known = |gate: &u32| gates.get(*gate).is_some_and(|gate| gate.pattern.knows(&sha));
            self.script |= each(learns).filter(known).fold(0, |all, gate| all | (1 << gate));
        }
    }

    fn look_for_argument(&mut self, index: u32, gates: &Gates) {
        let open = self.open;
        let word = self.words.get(index as usize).unwrap_or(&self.later);
        for gate in each(open) {
            let wanted = gates.get(gate).and_then(|gate| gate.pattern.argument.as_ref());
            if index > 0 && wanted.is_some_and(|wanted| word.is(wanted)) {
                self.argument |= 1 << gate;
            }
        }
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Command").field("brief", &self.brief()).finish_non_exhaustive()
    }
}
