//! The answer to a question of `syncope tune`: as text, Markdown, JSON, and HTML with pictures.

mod json;
mod picture;
mod words;

use askama::Template;

use crate::report::text;
use crate::scenario::question::Question;
use crate::tune::{Answer, Point};

pub use json::render as json;

const GAP: &str = "  ";

/// For a terminal.
#[must_use]
pub fn text(question: &Question, answer: &Answer) -> String {
    let mut lines = vec![words::header(answer)];
    lines.extend(cells(answer));
    let cut = cut(answer).map_or_else(String::new, |note| format!("{note}\n"));
    let (asked, judged) = (words::question(question, answer), words::judgement(question, answer));
    format!("{asked}\n{}{cut}{judged}", columns(&lines))
}

/// `answer.md`.
#[must_use]
pub fn markdown(question: &Question, answer: &Answer) -> String {
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let header = words::header(answer);
    let rule: Vec<String> = header.iter().map(|_| "---:".to_owned()).collect();
    let mut table = row(&header) + &row(&rule);
    table.extend(cells(answer).iter().map(|cells| row(cells)));
    let cut = cut(answer).map_or_else(String::new, |note| format!("\n{note}\n"));
    let (asked, judged) = (words::question(question, answer), words::judgement(question, answer));
    // What a question says of itself must not end the block.
    let block = |text: &str| format!("```text\n{}```\n", text.replace("```", "`"));
    format!("{}\n{table}{cut}\n{}", block(&asked), block(judged.trim_start()))
}

#[derive(Template)]
#[template(path = "answer.html")]
struct Page {
    name: String,
    about: String,
    asked: String,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    cut: Option<String>,
    judged: String,
    pictures: Vec<picture::Picture>,
}

/// `answer.html`: one file, no network, no script.
#[must_use]
pub fn html(question: &Question, answer: &Answer) -> String {
    let page = Page {
        name: text::clean(&question.name, 100),
        about: text::line(&question.about),
        asked: words::question(question, answer)
            .split_once('\n')
            .map_or_else(String::new, |(_, rest)| rest.to_owned()),
        header: words::header(answer),
        rows: cells(answer),
        cut: cut(answer),
        judged: words::judgement(question, answer).trim().to_owned(),
        pictures: picture::all(answer),
    };
    page.render().unwrap_or_else(|error| format!("the answer could not be laid out: {error}"))
}

fn cells(answer: &Answer) -> Vec<Vec<String>> {
    rows(answer).iter().map(|(mark, point)| words::row(mark, point)).collect()
}

/// That not all of the front is shown.
fn cut(answer: &Answer) -> Option<String> {
    let all = answer.front.len();
    let note = || format!("a part of the {all} settings of the front; the JSON has all of them");
    (answer.shown().len() < all).then(note)
}

/// The front, or a part of it; then the present setting.
fn rows(answer: &Answer) -> Vec<(&'static str, &Point)> {
    let mark = |index| if Some(index) == answer.recommended { "take" } else { "" };
    let shown = answer.shown().into_iter().map(|index| (mark(index), &answer.front[index]));
    shown.chain([("now", &answer.current)]).collect()
}

/// Right-aligned, the first column left.
fn columns(lines: &[Vec<String>]) -> String {
    let count = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        text.push_str(cells.join(GAP).trim_end());
        text.push('\n');
    }
    text
}
