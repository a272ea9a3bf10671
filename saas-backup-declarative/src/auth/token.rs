use saas_backup_core::Result;

use crate::expression::Expression;
use crate::template::Scope;

/// A token from the settings.
#[derive(Debug)]
pub(crate) struct Token(pub(super) Expression);

impl Token {
    pub(super) fn text(&self, scope: &Scope) -> Result<String> {
        self.0.text(scope)
    }
}
