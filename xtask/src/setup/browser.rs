//! Chromium and its driver; only tests need them.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::apt;
use crate::util::process;

/// A browser and the program that drives it.
pub(crate) struct Browser {
    pub(crate) chromium: PathBuf,
    pub(crate) driver: PathBuf,
}

/// The browser, if it is installed.
pub(crate) fn find() -> Option<Browser> {
    Some(Browser {
        chromium: process::find_program("chromium")?,
        driver: process::find_program("chromedriver")?,
    })
}

/// Finds Chromium, installing it when it is absent.
pub(crate) fn ensure() -> Result<Browser> {
    if find().is_none() {
        apt::install(&["chromium", "chromium-driver"], "tests in a browser")?;
    }
    find().context(
        "Chromium is installed, yet `chromium` or `chromedriver` is not on the PATH: \
         add the folder that holds them, then run this again",
    )
}
