use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use saas_backup_core::{BlobRef, Error, ErrorKind, Record, Result};
use serde_json::Value;

use super::record::blob_url;
use super::target::Target;
use crate::http::Request;
use crate::spool::SpooledFile;

/// What marks an upload that only a text shows, so that a second try finds it.
const INLINE_SLUG: &str = "restored-file-";

impl Target {
    /// Uploads the file of a media record: the original where there is one, since the site makes the rest of it.
    pub(super) async fn upload(&self, record: &Record, data: &Value) -> Result<Value> {
        let mut held = Vec::new();
        for role in ["original", "attachment"] {
            let blob = record.blobs.iter().find(|blob| blob.role == role);
            held.extend(blob.and_then(|blob| Some((blob, self.take_file(blob.id.as_ref()?)?))));
        }
        let Some((blob, file)) = held.into_iter().next() else {
            return Err(Error::new(ErrorKind::NotFound, "the bytes of the file are not in the copy"));
        };
        // Said with the upload already, so that a second try finds it if the rest does not arrive.
        let parameters: Vec<(&str, &str)> =
            ["slug", "date_gmt"].into_iter().filter_map(|name| Some((name, data.get(name)?.as_str()?))).collect();
        self.send_file(blob, &file, &parameters).await
    }

    /// Uploads the files that a text shows and the media library does not own.
    pub(super) async fn upload_inline(&self, record: &Record) -> Result<()> {
        for blob in record.blobs.iter().filter(|blob| blob.role == "inline") {
            let (Ok(old), Some(digest), Some(id)) = (blob_url(blob), blob.digest, blob.id.as_ref()) else { continue };
            if self.new_address(old.as_str()).is_some() {
                continue;
            }
            let slug = format!("{INLINE_SLUG}{digest}");
            let media = match self.find_by_slug(&slug).await? {
                Some(media) => media,
                None => match self.take_file(id) {
                    Some(file) => self.send_file(blob, &file, &[("slug", &slug)]).await?,
                    None => continue,
                },
            };
            if let Some(new) = media.get("source_url").and_then(Value::as_str) {
                self.learn_address(old.as_str(), new);
            }
        }
        Ok(())
    }

    async fn find_by_slug(&self, slug: &str) -> Result<Option<Value>> {
        let response = self.site.api.get("wp/v2/media", &[("slug", slug), ("_fields", "id,source_url")]).await?;
        Ok(response.json::<Vec<Value>>()?.into_iter().next())
    }

    async fn send_file(&self, blob: &BlobRef, file: &SpooledFile, parameters: &[(&str, &str)]) -> Result<Value> {
        let name = blob.name.as_deref().unwrap_or("file");
        // WordPress reads the bytes between the quotes as they are, and cleans the name itself.
        let clean: String = name.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\' | '/')).collect();
        let disposition = HeaderValue::from_bytes(format!("attachment; filename=\"{clean}\"").as_bytes());
        let kind = blob.media_type.as_deref().unwrap_or("application/octet-stream");
        let refused = |_| Error::new(ErrorKind::InvalidData, "the name or the type of the file cannot be sent");
        let request = Request::post(self.site.api.url("wp/v2/media").await?)
            .query("context", "edit")
            .header(CONTENT_TYPE, HeaderValue::from_str(kind).map_err(refused)?)
            .header(CONTENT_DISPOSITION, disposition.map_err(refused)?)
            .body(file.body());
        let request = parameters.iter().fold(request, |request, (name, value)| request.query(name, value));
        self.site.api.client().send(request).await?.json()
    }
}
