//! The subcommands.

mod action;
mod check;
mod evidence;
mod pair;
mod records;
mod replay;
mod status;
mod token;
mod wipe;

use crate::cli::{Cli, Command};
use crate::client::Client;
use crate::exit::{Answer, Failure};

/// Runs the subcommand.
pub(crate) async fn run(cli: Cli) -> Result<Answer, Failure> {
    let Cli { command, json, socket } = cli;
    match command {
        Command::Status => status::run(&Client::new(socket), json).await,
        Command::Pair(options) => pair::run(&Client::new(socket), options, pair::Way::First, json).await,
        Command::RePair(options) => pair::run(&Client::new(socket), options, pair::Way::Again, json).await,
        Command::Cancel => pair::cancel(&Client::new(socket), json).await,
        Command::Action(options) => action::run(&Client::new(socket), options, json).await,
        Command::Records(options) => records::run(&Client::new(socket), &options, json).await,
        Command::Token(options) => token::token(&Client::new(socket), &options, json).await,
        Command::Wipe(options) => wipe::wipe(&Client::new(socket), options, json).await,
        Command::Deprovision(options) => wipe::deprovision(&Client::new(socket), &options, json).await,
        Command::Entitled(options) => token::entitled(Client::new(socket), &options, json).await,
        Command::Check(options) => check::run(socket, &options, json).await,
        Command::Evidence(options) => evidence::run(&Client::new(socket), &options, json).await,
        Command::Replay(options) => replay::run(&options, json),
    }
}
