// SPDX-License-Identifier: GPL-2.0

//! What it looks like.
//!
//! ```text
//! cttop  this namespace                                 under pressure, every 1 s
//! ┌ table  93.4 % of 65 536 ────────────────────────────── timeouts at 100 % ┐
//! │ a bar of all entries by class, and a legend with numbers                 │
//! ┌ each second ────────────────────────────────────────────────────────────┐
//! │ new          12 345     15 000  ▁▂▃▄▅▆▇█                                 │
//! ┌ evicted ──────────────────────────┐┌ most entries ──────────────────────┐
//! │ unreplied  hint    12 000   1.2 M ││ 192.0.2.1    1 234  ████           │
//! q quit  ...
//! ```

use ratatui::layout::Alignment;
use ratatui::layout::Constraint;
use ratatui::layout::Layout;
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::style::Modifier;
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::text::Span;
use ratatui::widgets::Block;
use ratatui::widgets::BorderType;
use ratatui::widgets::Clear;
use ratatui::widgets::Paragraph;
use ratatui::widgets::Wrap;
use ratatui::Frame;

use crate::app::App;
use crate::rate::History;
use crate::sample::Sample;
use crate::text::grouped;
use crate::text::rate;

/// How a class is shown: its name, its colour, and its letter where there are no colours.
struct Look {
    class: &'static str,
    color: Color,
    letter: &'static str,
}

/// From what stays to what goes first, as the bar shows them.
const LOOKS: [Look; 7] = [
    look("active", Color::Green, "#"),
    look("idle", Color::Blue, "i"),
    look("answered", Color::Cyan, "a"),
    look("unreplied", Color::Red, "u"),
    look("closing", Color::Yellow, "g"),
    look("closed", Color::Magenta, "d"),
    look("expired", Color::DarkGray, "x"),
];

const fn look(class: &'static str, color: Color, letter: &'static str) -> Look {
    Look {
        class,
        color,
        letter,
    }
}

/// A row of what happens each second: its title, the names that belong to it, its colour.
struct Event {
    title: &'static str,
    names: &'static str,
    color: Color,
}

const EVENTS: [Event; 8] = [
    event("new", "opened", Color::Green),
    event("evicted", "evicted.", Color::Yellow),
    event("refused", "refused", Color::Red),
    event("dropped", "stat.drop", Color::Red),
    event("early drop", "stat.early_drop", Color::Yellow),
    event("clashes", "stat.clashres", Color::Cyan),
    event("invalid", "stat.invalid", Color::Magenta),
    event("stale hints", "hints_stale", Color::Blue),
];

const fn event(title: &'static str, names: &'static str, color: Color) -> Event {
    Event {
        title,
        names,
        color,
    }
}

impl Event {
    /// Whether a number belongs to it. A name that ends with a dot stands for all below it.
    fn has(&self, name: &str) -> bool {
        match self.names.ends_with('.') {
            true => name.starts_with(self.names),
            false => name == self.names,
        }
    }
}

const DIM: Style = Style::new().fg(Color::DarkGray);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, app: &App) {
    let area = frame.area();
    let [title, table, events, rest, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(6),
        Constraint::Length(10),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_title(frame, title, app);
    match &app.latest {
        Ok(sample) => {
            draw_table(frame, table, app, sample);
            draw_events(frame, events, app);
            let [evicted, sources] =
                Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(rest);
            draw_evicted(frame, evicted, app, sample);
            draw_sources(frame, sources, app, sample);
        }
        Err(error) => {
            let [middle] = Layout::vertical([Constraint::Length(2)])
                .flex(ratatui::layout::Flex::Center)
                .areas(table.union(events).union(rest).intersection(area));
            let text = vec![
                Line::styled(error.0.clone(), BOLD),
                Line::styled("it is looked for again and again", DIM),
            ];
            frame.render_widget(Paragraph::new(text).alignment(Alignment::Center), middle);
        }
    }
    draw_keys(frame, keys);
    if app.help {
        draw_help(frame, area, app);
    }
}

fn panel(title: Line<'static>) -> Block<'static> {
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(DIM)
        .title(title)
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let mut left = vec![
        Span::styled(" cttop ", Style::new().fg(Color::Black).bg(Color::Cyan)),
        Span::styled(format!("  {}", app.space.name()), BOLD),
    ];
    let mut right = Vec::new();
    if let Ok(sample) = &app.latest {
        if let Some(number) = sample.get("netns") {
            left.push(Span::styled(format!("  netns {number}"), DIM));
        }
        match sample.get("pressure") {
            Some(0) => right.push(Span::styled("calm", Style::new().fg(Color::Green))),
            Some(_) => right.push(Span::styled(
                "under pressure",
                Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD),
            )),
            None => {}
        }
    }
    right.push(if app.paused {
        Span::styled("  paused ", Style::new().fg(Color::Black).bg(Color::Yellow))
    } else {
        Span::styled(format!("  every {} s ", app.interval.as_secs_f64()), DIM)
    });
    frame.render_widget(Line::from(left), area);
    frame.render_widget(Line::from(right).alignment(Alignment::Right), area);
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, app: &App, sample: &Sample) {
    let (count, max) = (
        sample.get("count").unwrap_or(0),
        sample.get("max").unwrap_or(0),
    );
    let fullness = sample.fullness().unwrap_or(0.0);
    let color = match fullness {
        ..0.5 => Color::Green,
        ..0.75 => Color::Cyan,
        ..0.9 => Color::Yellow,
        _ => Color::Red,
    };
    let mut block = panel(Line::from(vec![
        Span::raw(" table "),
        Span::styled(
            format!("{:.1} % ", fullness * 100.0),
            Style::new().fg(color).add_modifier(Modifier::BOLD),
        ),
        Span::raw(format!("{} of {} ", grouped(count), grouped(max))),
    ]));
    if let Some(scale) = sample.get("timeout_permille") {
        let style = match scale {
            1000 => DIM,
            _ => Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD),
        };
        let text = format!(" timeouts at {} % ", scale / 10);
        block = block.title(Line::styled(text, style).alignment(Alignment::Right));
    }
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width.saturating_sub(2));
    let lines = vec![
        bar(sample, count, max, width, app.plain),
        scale_below(width),
        legend(sample, &LOOKS[..4], count, width, app.plain),
        legend(sample, &LOOKS[4..], count, width, app.plain),
    ];
    frame.render_widget(Paragraph::new(lines), inner);
}

/// Shares `width` cells out among parts of a whole: whoever has anything has a cell, if there are
/// enough of them.
pub fn cells(parts: &[u64], whole: u64, width: usize) -> Vec<usize> {
    let whole = whole.max(parts.iter().sum()).max(1);
    let mut left = width;
    let mut sum = 0u64;
    let mut before = 0usize;
    let shares = parts.iter().map(|part| {
        // Where it ends, so that errors do not add up.
        sum += part;
        let end = (u128::from(sum) * width as u128 / u128::from(whole)) as usize;
        let share = match part {
            0 => 0,
            _ => end.saturating_sub(before).max(1).min(left),
        };
        before = (before + share).max(end);
        left -= share;
        share
    });
    shares.collect()
}

fn bar(sample: &Sample, count: u64, max: u64, width: usize, plain: bool) -> Line<'static> {
    let mut spans = vec![Span::raw(" ")];
    let known: Vec<u64> = LOOKS
        .iter()
        .map(|look| sample.class(look.class).unwrap_or(0))
        .collect();
    let others = count.saturating_sub(known.iter().sum());
    let mut parts = known;
    parts.push(others);
    let shares = cells(&parts, max, width);
    let mut free = width;
    for (look, share) in LOOKS.iter().zip(&shares) {
        free -= share;
        spans.push(if plain {
            Span::raw(look.letter.repeat(*share))
        } else {
            Span::styled("█".repeat(*share), Style::new().fg(look.color))
        });
    }
    let share = shares.last().copied().unwrap_or(0);
    free -= share;
    spans.push(Span::raw("▒".repeat(share)));
    spans.push(Span::styled("·".repeat(free), DIM));
    Line::from(spans)
}

/// Where a quarter, half and three quarters are.
fn scale_below(width: usize) -> Line<'static> {
    let mut text: Vec<char> = vec![' '; width + 1];
    for percent in [25, 50, 75] {
        let mark = format!("╵{percent}");
        // The mark stands below the last cell that is within.
        let at = (width * percent / 100).max(1);
        for (place, char) in text.iter_mut().skip(at).zip(mark.chars()) {
            *place = char;
        }
    }
    Line::styled(text.into_iter().collect::<String>(), DIM)
}

fn legend(
    sample: &Sample,
    looks: &'static [Look],
    count: u64,
    width: usize,
    plain: bool,
) -> Line<'static> {
    let column = width / 4;
    let mut spans = vec![Span::raw(" ")];
    let known = looks.iter().any(|look| sample.class(look.class).is_some());
    if !known {
        // One line says why there is nothing.
        if looks.len() == 4 {
            let text = match &sample.limited {
                Some(limited) => limited.to_string(),
                None => format!("{} entries", grouped(count)),
            };
            spans.push(Span::styled(text, Style::new().fg(Color::Yellow)));
        }
        return Line::from(spans);
    }
    for look in looks {
        let number = sample.class(look.class).unwrap_or(0);
        let (mark, style) = match plain {
            true => (look.letter, Style::new()),
            false => ("■", Style::new().fg(look.color)),
        };
        let room = column.saturating_sub(13);
        let text = fitting(number, room);
        spans.push(Span::styled(mark, style));
        spans.push(Span::raw(format!(" {:<9} ", look.class)));
        spans.push(Span::styled(format!("{text:>room$} "), BOLD));
    }
    Line::from(spans)
}

/// A number in so many columns, rounded if it has to be.
pub fn fitting(number: u64, room: usize) -> String {
    let whole = grouped(number);
    if whole.chars().count() <= room {
        return whole;
    }
    let mut scaled = number as f64;
    let mut unit = "";
    for next in ["k", "M", "G", "T", "P", "E"] {
        if scaled < 999.5 {
            break;
        }
        scaled /= 1000.0;
        unit = next;
    }
    match scaled {
        ..9.995 if !unit.is_empty() => format!("{scaled:.2}{unit}"),
        ..99.95 if !unit.is_empty() => format!("{scaled:.1}{unit}"),
        _ => format!("{scaled:.0}{unit}"),
    }
}

fn draw_events(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let block = panel(Line::raw(" each second "));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width.saturating_sub(2));
    let room = width.saturating_sub(36);
    let lines: Vec<_> = EVENTS
        .iter()
        .map(|event| event_line(event, &app.history, room))
        .collect();
    frame.render_widget(Paragraph::new(lines), inner);
}

fn event_line(event: &Event, history: &History, room: usize) -> Line<'static> {
    let latest = history.latest(|name| event.has(name));
    let values = history.last(room, |name| event.has(name));
    let peak = values.iter().copied().fold(0.0, f64::max);
    let (now, style) = match latest {
        None => ("-".to_string(), DIM),
        Some(0.0) => ("0".to_string(), DIM),
        Some(now) => (
            rate(now),
            Style::new().fg(event.color).add_modifier(Modifier::BOLD),
        ),
    };
    let most = match latest {
        Some(_) if peak > 0.0 => format!("≤ {}", rate(peak)),
        _ => String::new(),
    };
    Line::from(vec![
        Span::raw(format!(" {:<11} ", event.title)),
        Span::styled(format!("{now:>10}"), style),
        Span::styled(format!("{most:>12} "), DIM),
        Span::styled(
            format!("{:>room$}", sparkline(&values, peak)),
            Style::new().fg(event.color),
        ),
    ])
}

/// Heights of values, as characters. Nothing is a blank, anything at least the lowest.
pub fn sparkline(values: &[f64], most: f64) -> String {
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let step = |value: &f64| {
        if *value <= 0.0 || most <= 0.0 {
            return ' ';
        }
        let height = (value / most * 8.0).ceil() as usize;
        STEPS[height.clamp(1, 8) - 1]
    };
    values.iter().map(step).collect()
}

fn draw_evicted(frame: &mut Frame<'_>, area: Rect, app: &App, sample: &Sample) {
    let block = panel(Line::raw(" evicted "))
        .title(Line::styled(" /s   in all ", DIM).alignment(Alignment::Right));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let mut rows: Vec<(&str, &str, &String, u64)> = sample
        .values
        .iter()
        .filter_map(|(name, total)| {
            let (reason, class) = name.strip_prefix("evicted.")?.split_once('.')?;
            (*total != 0).then_some((class, reason, name, *total))
        })
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.3));
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (class, reason, name, total) in rows {
        let color = LOOKS
            .iter()
            .find(|look| look.class == class)
            .map_or(Color::White, |look| look.color);
        let now = app.history.latest(|other| other == name).unwrap_or(0.0);
        let style = if now > 0.0 { BOLD } else { DIM };
        let room = usize::from(inner.width).saturating_sub(28);
        let now = match rate(now) {
            text if text.chars().count() < 7 => text,
            _ => fitting(now as u64, 6),
        };
        let total = fitting(total, 8);
        lines.push(Line::from(vec![
            Span::raw(" "),
            Span::styled(
                format!("{class:<10}"),
                if app.plain {
                    BOLD
                } else {
                    Style::new().fg(color)
                },
            ),
            Span::raw(format!("{reason:<room$}")),
            Span::styled(format!("{now:>7}"), style),
            Span::raw(format!("{total:>9}")),
        ]));
    }
    if lines.is_empty() {
        let text = match sample.limited {
            None => " nothing had to go yet",
            Some(_) => " not known",
        };
        lines.push(Line::styled(text, DIM));
    }
    frame.render_widget(Paragraph::new(lines), inner);
}

fn draw_sources(frame: &mut Frame<'_>, area: Rect, app: &App, sample: &Sample) {
    let block = panel(Line::raw(" sources with most entries "));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let rows = usize::from(inner.height);
    let listed = || sample.sources.iter().take(rows);
    let name_width = listed().map(|(name, _)| name.len()).max().unwrap_or(0);
    let name_width = name_width.min(usize::from(inner.width).saturating_sub(12));
    let most = listed().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let room = usize::from(inner.width).saturating_sub(name_width + 12);
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (name, count) in listed() {
        let name: String = name.chars().take(name_width).collect();
        let cells = (u128::from(*count) * room as u128).div_ceil(u128::from(most)) as usize;
        let glyph = if app.plain { "=" } else { "▬" };
        lines.push(Line::from(vec![
            Span::raw(format!(" {name:<name_width$} ")),
            Span::styled(format!("{:>8} ", fitting(*count, 8)), BOLD),
            Span::styled(glyph.repeat(cells), Style::new().fg(Color::Cyan)),
        ]));
    }
    if lines.is_empty() {
        let text = match sample.limited {
            None => " nobody",
            Some(_) => " not known",
        };
        lines.push(Line::styled(text, DIM));
    }
    frame.render_widget(Paragraph::new(lines), inner);
}

fn draw_keys(frame: &mut Frame<'_>, area: Rect) {
    let keys = [
        ("q", "quit"),
        ("tab", "namespace"),
        ("space", "pause"),
        ("+ -", "speed"),
        ("r", "reset"),
        ("c", "colours"),
        ("?", "help"),
    ];
    let spans = keys.iter().flat_map(|(key, what)| {
        [
            Span::styled(format!(" {key}"), BOLD.fg(Color::Cyan)),
            Span::styled(format!(" {what} "), DIM),
        ]
    });
    frame.render_widget(Line::from_iter(spans), area);
}

fn draw_help(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let mut lines = vec![
        Line::styled("When a table is full, entries go in this order:", BOLD),
        Line::raw(""),
    ];
    let meanings = [
        ("expired", "their time is over"),
        ("closed", "their protocol is done with them"),
        ("closing", "one side has said goodbye"),
        ("unreplied", "nobody answered yet; oldest first"),
        ("answered", "answered, but not proven to be there"),
        ("idle", "idle beyond their soft timeout"),
        ("active", "never"),
    ];
    for (class, meaning) in meanings {
        let look = LOOKS.iter().find(|look| look.class == class);
        let (mark, color) = look.map_or(("?", Color::White), |look| {
            (if app.plain { look.letter } else { "■" }, look.color)
        });
        lines.push(Line::from(vec![
            Span::styled(
                mark,
                Style::new().fg(if app.plain { Color::Reset } else { color }),
            ),
            Span::raw(format!(" {class:<10}")),
            Span::styled(meaning, DIM),
        ]));
    }
    lines.extend([
        Line::raw(""),
        Line::raw("refused: new connections that found no place."),
        Line::raw("dropped, early drop, clashes, invalid: as mainline"),
        Line::raw("counts them. stale hints: looks that led nowhere."),
        Line::raw(""),
        Line::styled("tab, n, N  another namespace   space  pause", DIM),
        Line::styled("+ -  faster, slower   r  reset   c  letters", DIM),
    ]);
    let height = (lines.len() as u16 + 2).min(area.height);
    let width = 54.min(area.width);
    let popup = Rect {
        x: (area.width - width) / 2,
        y: (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, popup);
    let block = panel(Line::raw(" help ")).border_style(Style::new().fg(Color::Cyan));
    let text = Paragraph::new(lines).wrap(Wrap { trim: false });
    frame.render_widget(
        text.block(block.padding(ratatui::widgets::Padding::horizontal(1))),
        popup,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Limited;
    use crate::sample::NoTable;
    use crate::spaces::Space;
    use ratatui::backend::TestBackend;
    use ratatui::Terminal;
    use std::time::Duration;
    use std::time::Instant;

    fn app() -> App {
        let mut app = App::new(Space::Of("no-such-space".into()), Duration::from_secs(1));
        app.plain = true;
        app
    }

    fn ours(at: Instant, step: u64) -> Sample {
        let values = [
            ("netns", 4026531833),
            ("count", 61_203),
            ("max", 65_536),
            ("pressure", 1),
            ("timeout_permille", 500),
            ("class.active", 10_000),
            ("class.unreplied", 50_000),
            ("class.closed", 1_200),
            ("class.expired", 3),
            ("opened", 12_000 * step),
            ("refused", 0),
            ("evicted.hint.unreplied", 11_000 * step),
            ("evicted.background.closed", 40),
            ("stat.early_drop", 11_000 * step),
        ];
        Sample {
            at: at + Duration::from_secs(step),
            cost: Duration::ZERO,
            values: values.map(|(n, v)| (n.to_string(), v)).into(),
            sources: vec![("192.0.2.1".into(), 20_000), ("2001:db8::/64".into(), 500)],
            limited: None,
        }
    }

    fn drawn(app: &App, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, app)).unwrap();
        let buffer = terminal.backend().buffer();
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        (0..height).map(row).collect()
    }

    fn under_attack() -> App {
        let mut app = app();
        let now = Instant::now();
        for step in 1..=50 {
            app.take(Ok(ours(now, step)));
        }
        app
    }

    #[test]
    fn an_attack_at_80_by_24() {
        let screen = drawn(&under_attack(), 80, 24);
        let all = screen.join("\n");
        for expected in [
            "table 93.4 % 61 203 of 65 536",
            "timeouts at 50 %",
            "under pressure",
            "u unreplied 50 000",
            "new             12 000    ≤ 12 000",
            "evicted         11 000",
            "refused              0",
            "unreplied hint",
            "closed    background      0       40",
            "192.0.2.1       20 000 =====",
            "q quit",
        ] {
            assert!(all.contains(expected), "{expected}:\n{all}");
        }
        // Frames are whole.
        for (at, row) in screen.iter().enumerate().take(23).skip(1) {
            let last = row.chars().last().unwrap();
            assert!("│╮╯".contains(last), "row {at}: {all}");
        }
    }

    #[test]
    fn mainline_shows_what_it_has() {
        let mut app = app();
        let now = Instant::now();
        for step in 1..=2 {
            let mut sample = ours(now, step);
            sample
                .values
                .retain(|name, _| name.starts_with("stat.") || name == "count" || name == "max");
            sample.sources.clear();
            sample.limited = Some(Limited::Missing);
            app.take(Ok(sample));
        }
        let all = drawn(&app, 80, 24).join("\n");
        for expected in [
            "mainline's module: counters only",
            "new                  -",
            "early drop      11 000",
            "not known",
            "▒▒▒▒",
        ] {
            assert!(all.contains(expected), "{expected}:\n{all}");
        }
    }

    #[test]
    fn no_table_is_said() {
        let mut app = app();
        app.take(Err(NoTable("no connection tracking here".into())));
        let all = drawn(&app, 80, 24).join("\n");
        assert!(all.contains("no connection tracking here"), "{all}");
    }

    #[test]
    fn any_size_will_do() {
        let mut app = under_attack();
        for help in [false, true] {
            app.help = help;
            for width in [1, 2, 7, 20, 39, 80, 81, 133, 250] {
                for height in [1, 2, 5, 7, 12, 18, 24, 70] {
                    assert_eq!(drawn(&app, width, height).len(), usize::from(height));
                }
            }
        }
    }

    #[test]
    fn cells_are_shared_out() {
        assert_eq!(cells(&[50, 25], 100, 40), [20, 10]);
        // Whoever has anything is seen.
        assert_eq!(cells(&[1, 0, 99], 100, 10), [1, 0, 9]);
        assert_eq!(cells(&[1, 1, 1_000_000], 1_000_000, 10), [1, 1, 8]);
        // More than the whole, after the limit was lowered.
        assert_eq!(cells(&[200], 100, 10), [10]);
        assert_eq!(cells(&[1, 1, 1], 3, 0), [0, 0, 0]);
        assert_eq!(cells(&[0], 0, 10), [0]);
        let parts = [3, 0, 70, 1, 9, 2, 5];
        for width in 0..200 {
            let shares = cells(&parts, 100, width);
            assert!(shares.iter().sum::<usize>() <= width);
        }
    }

    #[test]
    fn numbers_fit() {
        let table = [
            (65_536, 6, "65 536"),
            (65_536, 5, "65.5k"),
            (1_048_576, 6, "1.05M"),
            (999_999, 5, "1.00M"),
            (7, 0, "7"),
            (123_456, 4, "123k"),
        ];
        for (number, room, expected) in table {
            assert_eq!(fitting(number, room), expected);
        }
    }

    #[test]
    fn sparklines() {
        assert_eq!(sparkline(&[0.0, 1.0, 4.0, 8.0], 8.0), " ▁▄█");
        assert_eq!(sparkline(&[0.0, 0.0], 0.0), "  ");
        assert_eq!(sparkline(&[0.001], 1000.0), "▁");
    }
}
