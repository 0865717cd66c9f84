//! What is shown and asked while a session waits, in its order.

use std::time::Duration;

use pawl_approval::Confirmation;
use pawl_proto::SessionId;
use pawl_proto::local::{ApprovalRequest, Asked, ConfirmationRequest, WaitingStatus};
use tokio::time::{sleep, timeout};

use super::code::Board;
use super::{Key, Step, Wanted, news, request, statement};
use crate::cli::Approving;
use crate::exit::{Exit, Failure};
use crate::output::{Sheet, Tone, Voice, now, span};
use crate::terminal::{self, Keyboard};

/// How often a session that waits is looked at.
const INTERVAL: Duration = Duration::from_millis(500);

const CONFIRMATION: &str = "confirmation code: ";

/// The place at this device where a session is approved or confirmed.
pub(crate) struct Desk {
    wanted: Wanted,
    /// The key of `--sign-with`, until it has signed.
    key: Option<Key>,
    sign_unasked: bool,
    keyboard: Option<Keyboard>,
    qr: bool,
    /// The command that comes back to this session.
    again: String,
    seen: Option<WaitingStatus>,
    code_shown: bool,
    prompted: bool,
    /// A step that the control plane was too far away for.
    kept: Option<Step>,
}

impl Desk {
    /// Finds keyboard and key, before anything is opened for which they would be missing. `again` is the command
    /// that comes back to the session.
    ///
    /// # Errors
    /// When the key is not at hand, or nobody could say yes to its use.
    pub(crate) async fn set_up(
        options: Approving,
        wanted: Wanted,
        again: String,
        voice: &mut Voice,
    ) -> Result<Self, Failure> {
        let keyboard = Keyboard::find(voice);
        let key = match options.sign_with {
            None => None,
            Some(_) if keyboard.is_none() && !options.yes => {
                return Err(Failure::new(
                    Exit::Usage,
                    "nobody-to-ask",
                    "cannot ask whether to sign: no terminal",
                    "run it on a terminal, or add --yes to sign without a question",
                ));
            }
            Some(name) => Some(Key::find(name).await?),
        };
        Ok(Self {
            wanted,
            key,
            sign_unasked: options.yes,
            keyboard,
            qr: !options.no_qr,
            again,
            seen: None,
            code_shown: false,
            prompted: false,
            kept: None,
        })
    }

    /// Comes back to this session with this command from now on.
    pub(crate) fn come_back_with(&mut self, again: String) {
        self.again = again;
    }

    /// Returns this step once more, after a while.
    pub(crate) fn keep(&mut self, step: Step) {
        self.kept = Some(step);
    }

    /// Shows what is new, and returns what somebody did; after a while also when nobody did anything.
    ///
    /// # Errors
    /// When the key did not sign.
    pub(crate) async fn attend(
        &mut self,
        session: Option<SessionId>,
        asked: Option<&Asked>,
        waiting: &WaitingStatus,
        voice: &mut Voice,
    ) -> Result<Option<Step>, Failure> {
        self.tell(asked, waiting, voice);
        if let Some(step) = self.kept.take() {
            sleep(INTERVAL).await;
            return Ok(Some(step));
        }
        if let Some(asked) = asked
            && let Some(key) = self.key.take()
        {
            return self.sign(&key, session, asked, voice).await.map(Some);
        }
        if !self.code_shown {
            voice.say(&self.board(voice).show(waiting));
            self.code_shown = true;
        }
        Ok(self.listen(waiting, voice).await)
    }

    fn tell(&mut self, asked: Option<&Asked>, waiting: &WaitingStatus, voice: &mut Voice) {
        if self.seen.is_none() {
            voice.say(&request::show(asked, waiting, voice.style()));
        }
        let confirm = format!("{} --confirm CODE", self.again);
        let confirm = self.keyboard.is_none().then_some(confirm.as_str());
        for line in news::since(self.seen.as_ref(), waiting, confirm) {
            voice.say(&line);
            self.prompted = false;
        }
        self.seen = Some(waiting.clone());
    }

    fn board(&self, voice: &Voice) -> Board {
        let drawable = self.qr && voice.to_terminal() && terminal::is_utf8();
        Board {
            style: voice.style(),
            columns: if drawable { terminal::columns() } else { None },
            here: format!("{} --sign-with KEY", self.again),
        }
    }

    async fn sign(
        &mut self,
        key: &Key,
        session: Option<SessionId>,
        asked: &Asked,
        voice: &mut Voice,
    ) -> Result<Step, Failure> {
        let (bytes, stated) = match self.wanted.check(asked, session) {
            Ok(checked) => checked,
            Err(failure) => return Ok(Step::Decline(failure)),
        };
        let mut sheet = Sheet::new(voice.style());
        sheet.headline(Tone::Doubtful, &format!("you are about to sign with {}", key.describe()));
        statement::show(&mut sheet, &stated);
        voice.say(&sheet.into_text());
        if !self.sign_unasked && !self.agreed(voice).await {
            let declined = "you answered no; nothing was signed";
            return Ok(Step::Decline(Failure::new(Exit::Failed, "declined", declined, "")));
        }
        if key.wants_touch() {
            voice.say("touch your security key now");
        }
        let signature = key.sign(bytes.to_be_signed()).await?;
        voice.say("signed");
        Ok(Step::Approve(ApprovalRequest { statement: asked.statement.clone(), signature }))
    }

    async fn agreed(&mut self, voice: &mut Voice) -> bool {
        let Some(keyboard) = &mut self.keyboard else { return false };
        let answer = keyboard.ask(voice, "sign? [y/N] ").await;
        answer.is_some_and(|answer| ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
    }

    /// Waits for a while, or for a confirmation where one is wanted.
    async fn listen(&mut self, waiting: &WaitingStatus, voice: &mut Voice) -> Option<Step> {
        let Some(keyboard) = self.keyboard.as_mut().filter(|_| waiting.unconfirmed > 0) else {
            voice
                .live(&format!("waiting for approval; {} left", span(waiting.expires.saturating_sub(now()))));
            sleep(INTERVAL).await;
            return None;
        };
        if !self.prompted {
            keyboard.prompt(voice, CONFIRMATION);
            self.prompted = true;
        }
        match timeout(INTERVAL, keyboard.typed(voice)).await {
            Err(_) => None,
            Ok(Some(typed)) => {
                self.prompted = false;
                confirmation(&typed, voice)
            }
            Ok(None) => {
                self.keyboard = None;
                voice.say(&format!(
                    "the input has ended; submit the confirmation code with: {} --confirm CODE",
                    self.again
                ));
                None
            }
        }
    }
}

/// What is none at all does not cost one of the tries.
fn confirmation(typed: &str, voice: &mut Voice) -> Option<Step> {
    match typed.parse::<Confirmation>() {
        Ok(confirmation) => Some(Step::Confirm(ConfirmationRequest { code: confirmation.to_string() })),
        Err(error) => {
            voice.say(&error.to_string());
            None
        }
    }
}
