use std::fmt;

use async_trait::async_trait;
use saas_backup_core::Result;
#[cfg(feature = "alert-http")]
use saas_backup_core::{Error, ErrorKind};
#[cfg(feature = "alert-http")]
use secrecy::{ExposeSecret as _, SecretString};

#[cfg(feature = "alert-http")]
use super::service::{Service, ServiceOptions};

/// What a heartbeat says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Beat {
    /// Everything is as it should be.
    Well,
    /// The program is alive, and something is wrong.
    Unwell,
}

/// A dead man's switch: somebody else raises the alarm when no beat has come for some time, because the program, its machine
/// or its network is gone.
#[async_trait]
pub trait Heartbeat: fmt::Debug + Send + Sync {
    /// Its name.
    fn name(&self) -> &str;

    /// Gives a sign of life.
    ///
    /// Cancel safe in that dropping it may leave the beat given or not.
    ///
    /// # Errors
    ///
    /// If it did not arrive. The text holds no address.
    async fn beat(&self, beat: Beat) -> Result<()>;
}

/// An address that is asked for at each beat, and with `/fail` behind it when something is wrong, as
/// [healthchecks.io](https://healthchecks.io/docs/http_api/) and what follows its example take it.
#[cfg(feature = "alert-http")]
#[derive(Clone, Debug)]
pub struct HeartbeatUrl {
    name: String,
    well: Service,
    unwell: Service,
}

#[cfg(feature = "alert-http")]
impl HeartbeatUrl {
    /// The address, which is a secret.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] or [`ErrorKind::PermissionDenied`] if the address is not allowed.
    pub fn new(name: impl Into<String>, address: &SecretString, options: &ServiceOptions) -> Result<Self> {
        let mut url: url::Url = address
            .expose_secret()
            .parse()
            .map_err(|_| Error::new(ErrorKind::Configuration, "the address of a heartbeat is none"))?;
        let well = Service::new(address, options)?;
        let path = format!("{}/fail", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(Self { name: name.into(), well, unwell: Service::new(&String::from(url).into(), options)? })
    }
}

#[cfg(feature = "alert-http")]
#[async_trait]
impl Heartbeat for HeartbeatUrl {
    fn name(&self) -> &str {
        &self.name
    }

    async fn beat(&self, beat: Beat) -> Result<()> {
        let service = match beat {
            Beat::Well => &self.well,
            Beat::Unwell => &self.unwell,
        };
        service.send(service.post()?.idempotent()).await.map(drop)
    }
}
