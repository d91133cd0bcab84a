// SPDX-License-Identifier: GPL-2.0

//! The program at the terminal: looks at the kernel, listens to keys, draws.

use std::io;
use std::time::Duration;
use std::time::Instant;

use ratatui::crossterm::event;
use ratatui::crossterm::event::Event;
use ratatui::crossterm::event::KeyCode;
use ratatui::crossterm::event::KeyEvent;
use ratatui::crossterm::event::KeyEventKind;
use ratatui::crossterm::event::KeyModifiers;
use ratatui::DefaultTerminal;

use crate::rate;
use crate::rate::History;
use crate::sample::NoTable;
use crate::sample::Sample;
use crate::spaces::Space;
use crate::view;

/// All that is shown.
pub struct App {
    /// Which namespace.
    pub space: Space,
    /// Between two looks.
    pub interval: Duration,
    /// Nothing new is looked at.
    pub paused: bool,
    /// The keys are explained.
    pub help: bool,
    /// No colours: classes are told by letters.
    pub plain: bool,
    /// The last look, or why there was none.
    pub latest: Result<Sample, NoTable>,
    /// What happened.
    pub history: History,
}

/// What a key leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing but drawing.
    Draw,
    /// A look at the kernel, now.
    Look,
    /// The end.
    Quit,
}

impl App {
    const SHORTEST: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_secs(64);

    /// Begins with a look.
    pub fn new(space: Space, interval: Duration) -> Self {
        let latest = space.read();
        App {
            space,
            interval,
            paused: false,
            help: false,
            plain: std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            latest,
            history: History::default(),
        }
    }

    /// Looks at the kernel.
    fn look(&mut self) {
        self.take(self.space.read());
    }

    /// Takes a look's result in.
    pub fn take(&mut self, new: Result<Sample, NoTable>) {
        match (&self.latest, &new) {
            (Ok(old), Ok(new)) => self.history.push(rate::rates(old, new)),
            _ => self.history.clear(),
        }
        self.latest = new;
    }

    /// How long to wait between looks: reading a large table shall not become its main load.
    fn wait(&self) -> Duration {
        match &self.latest {
            Ok(sample) => self.interval.max(sample.cost * 20),
            Err(_) => self.interval,
        }
    }

    /// A key was pressed.
    pub fn press(&mut self, key: KeyEvent) -> Next {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Next::Quit,
            KeyCode::Esc if self.help => self.help = false,
            KeyCode::Char('q') | KeyCode::Esc => return Next::Quit,
            KeyCode::Char('?' | 'h') => self.help = !self.help,
            KeyCode::Char(' ' | 'p') => self.paused = !self.paused,
            KeyCode::Char('+' | '=') => self.interval = (self.interval / 2).max(Self::SHORTEST),
            KeyCode::Char('-') => self.interval = (self.interval * 2).min(Self::LONGEST),
            KeyCode::Char('r') => self.history.clear(),
            KeyCode::Char('c') => self.plain = !self.plain,
            KeyCode::Tab | KeyCode::Right | KeyCode::Char('n') => return self.choose(1),
            KeyCode::BackTab | KeyCode::Left | KeyCode::Char('N') => return self.choose(-1),
            _ => {}
        }
        Next::Draw
    }

    fn choose(&mut self, by: isize) -> Next {
        self.space = self.space.next(by);
        self.latest = Err(NoTable("reading".into()));
        self.history.clear();
        Next::Look
    }
}

/// Shows the table until the user has seen enough.
pub fn run(space: Space, interval: Duration) -> io::Result<()> {
    let mut app = App::new(space, interval);
    let mut terminal = ratatui::try_init()?;
    let result = watch(&mut terminal, &mut app);
    ratatui::restore();
    result
}

fn watch(terminal: &mut DefaultTerminal, app: &mut App) -> io::Result<()> {
    let mut looked = Instant::now();
    loop {
        // Its size is asked for each time.
        terminal.draw(|frame| view::draw(frame, app))?;
        let left = if app.paused {
            Duration::from_secs(3600)
        } else {
            app.wait().saturating_sub(looked.elapsed())
        };
        let mut look = !event::poll(left)? && !app.paused;
        // All that has come: a held key must not be drawn for one by one.
        while event::poll(Duration::ZERO)? {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => match app.press(key) {
                    Next::Draw => {}
                    Next::Look => look = true,
                    Next::Quit => return Ok(()),
                },
                _ => {}
            }
        }
        if look {
            app.look();
            looked = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(app: &mut App, code: KeyCode) -> Next {
        app.press(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn keys() {
        let mut app = App::new(Space::Of("no-such-space".into()), Duration::from_secs(1));
        assert_eq!(press(&mut app, KeyCode::Char('+')), Next::Draw);
        assert_eq!(app.interval, Duration::from_millis(500));
        for _ in 0..20 {
            press(&mut app, KeyCode::Char('-'));
        }
        assert_eq!(app.interval, App::LONGEST);
        assert_eq!(press(&mut app, KeyCode::Tab), Next::Look);
        assert_ne!(app.space, Space::Of("no-such-space".into()));
        press(&mut app, KeyCode::Char('?'));
        assert!(app.help);
        // The first one closes the help.
        assert_eq!(press(&mut app, KeyCode::Esc), Next::Draw);
        assert_eq!(press(&mut app, KeyCode::Esc), Next::Quit);
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(app.press(control_c), Next::Quit);
    }
}
