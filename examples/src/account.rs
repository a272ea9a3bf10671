//! Where the examples with a format read from: the WordPress site that the environment names, or the demo.

use std::env;
use std::sync::Arc;

use saas_backup_connectors::wordpress::{WordPress, WordPressConfig};
use saas_backup_core::{Connector, Error, ErrorKind, Result};

use crate::demo;

/// What `--help` says about the environment.
pub const VARIABLES: &str = "
  WORDPRESS_URL        the site, such as https://blog.example.com
  WORDPRESS_USER       who to log in as; what this user may not see is not copied
  WORDPRESS_PASSWORD   an application password of that user: Users → Profile → Application Passwords
  WORDPRESS_PRIVATE=1  the site is on a network of your own, or speaks HTTP without encryption

Without these a demo account is taken, so that you see what comes out.
";

/// Opens the site, or starts the demo.
///
/// # Errors
///
/// [`ErrorKind::Configuration`] if there is an address and no user or password.
pub async fn of_environment() -> Result<Arc<dyn Connector>> {
    let Ok(url) = env::var("WORDPRESS_URL") else {
        eprintln!("WORDPRESS_URL is not set: taking the demo account instead (--help says more)\n");
        return demo::connector().await;
    };
    let variable = |name: &str| {
        env::var(name).map_err(|_| Error::new(ErrorKind::Configuration, format!("{name} is not set; --help says more")))
    };
    let config = WordPressConfig::new(url, variable("WORDPRESS_USER")?, variable("WORDPRESS_PASSWORD")?)
        .with_private_addresses(env::var("WORDPRESS_PRIVATE").is_ok_and(|answer| answer == "1"));
    Ok(Arc::new(WordPress::new(&config)?))
}
