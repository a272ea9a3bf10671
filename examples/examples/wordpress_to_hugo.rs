//! A WordPress site as a Hugo site: posts and pages as content, pictures beside them, a configuration, ready to build.
//!
//! ```text
//! WORDPRESS_URL=https://blog.example.com WORDPRESS_USER=me WORDPRESS_PASSWORD='abcd efgh ijkl mnop' \
//!     cargo run -p examples --features wordpress --example wordpress_to_hugo -- my-site
//! hugo --source my-site server
//! ```
//!
//! `--help` says more. Nothing on the site is changed.
#![allow(clippy::print_stdout, reason = "a program prints")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use examples::{account, script};
use saas_backup_core::{Error, ErrorKind, Result, RunStatus, TransferOptions, WriteMode, transfer};
use saas_backup_formats::Manifest;
use saas_backup_formats::markdown::{MarkdownConfig, MarkdownConnector};

const HELP: &str = "\
Makes a Hugo site of a WordPress site. A configuration and layouts that are there already are left alone, the content is
written anew. Where Hugo is installed, the site is built once, so that you see at once whether it can be.

usage: wordpress_to_hugo [FOLDER]              default: ./site
";

const CONFIGURATION: &str = r#"title = "An exported site"
baseURL = "/"
disableKinds = ["taxonomy", "term", "RSS", "sitemap"]
# Attachments lie beside the pages' files, so a page has to stay where its file is.
uglyURLs = true
disablePathToLower = true
# `tags` and `categories` are collections like others.
[taxonomies]
"#;

/// What is no content is handed out as it is: pages link to it.
const MOUNTS: &str = r#"[[mounts]]
source = "content"
target = "content"
excludeFiles = ["index.md", "*/index.md", "_source/**", "*.json", "*.jsonl", "*.ndjson", "SHA256SUMS"]

[[mounts]]
source = "content/_source"
target = "static/_source"

[[mounts]]
source = "content/losses.ndjson"
target = "static/losses.ndjson"
"#;

/// Links between pages are paths of files, which editors follow; a page of Hugo has another address than its file.
const LINKS: &str = r#"{{- $url := urls.Parse .Destination -}}
{{- $to := .Destination -}}
{{- if and (not $url.IsAbs) $url.Path -}}
  {{- with .Page.GetPage (replaceRE "(^|/)index[.]md$" "${1}_index.md" $url.Path) -}}
    {{- $to = .RelPermalink -}}
  {{- else -}}
    {{- $to = relURL (path.Join "/" .Page.File.Dir $url.Path) -}}
  {{- end -}}
  {{- with $url.Fragment -}}{{- $to = printf "%s#%s" $to . -}}{{- end -}}
{{- end -}}
<a href="{{ $to | safeURL }}">{{ .Text | safeHTML }}</a>
{{- /* no line feed at the end */ -}}
"#;

const IMAGES: &str = r#"{{- $url := urls.Parse .Destination -}}
{{- $from := .Destination -}}
{{- if not $url.IsAbs -}}{{- $from = relURL (path.Join "/" .Page.File.Dir $url.Path) -}}{{- end -}}
<img src="{{ $from | safeURL }}" alt="{{ .PlainText }}" style="max-width: 100%">
{{- /* no line feed at the end */ -}}
"#;

const PAGE: &str = r#"<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{ .Title }}</title>
<body style="max-width: 45rem; margin: auto; padding: 1rem; font-family: system-ui, sans-serif; line-height: 1.6">
<p><a href="{{ "/" | relURL }}">{{ .Site.Title }}</a></p>
{{ .Content }}
{{ if .IsNode }}<ul>{{ range .Pages }}<li><a href="{{ .RelPermalink }}">{{ .Title }}</a></li>{{ end }}</ul>{{ end }}
</body></html>
"#;

#[tokio::main]
async fn main() -> ExitCode {
    match script::path_argument(&format!("{HELP}{}", account::VARIABLES), "site") {
        Ok(folder) => script::ended(run(Path::new(&folder)).await),
        Err(end) => end,
    }
}

async fn run(site: &Path) -> Result<RunStatus> {
    let source = account::of_environment().await?;
    let content = MarkdownConnector::new(MarkdownConfig::new(site.join("content")));

    let done = transfer(&source, &content, TransferOptions::new(WriteMode::Overwrite)).await?;

    script::tell(&done.report);
    // An `index.md` would make all that lies beside it part of one page: Hugo wants `_index.md` for a list.
    let mut mounts = MOUNTS.to_owned();
    for folder in std::iter::once(String::new()).chain(collections(&site.join("content"))?) {
        let _ = write!(
            mounts,
            "\n[[mounts]]\nsource = \"content/{folder}index.md\"\ntarget = \"content/{folder}_index.md\"\n"
        );
    }
    fs::create_dir_all(site.join("config/_default"))?;
    fs::write(site.join("config/_default/module.toml"), mounts)?;
    for (path, text) in [
        ("hugo.toml", CONFIGURATION),
        ("layouts/_default/single.html", PAGE),
        ("layouts/_default/list.html", PAGE),
        ("layouts/index.html", PAGE),
        ("layouts/_default/_markup/render-link.html", LINKS),
        ("layouts/_default/_markup/render-image.html", IMAGES),
    ] {
        let path = site.join(path);
        if !path.exists() {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, text)?;
        }
    }
    build(site)?;
    Ok(done.report.status)
}

/// The folders of the collections.
fn collections(content: &Path) -> Result<Vec<String>> {
    let manifest: Manifest = serde_json::from_slice(&fs::read(content.join("manifest.json"))?)?;
    Ok(manifest.collections.values().map(|place| format!("{}/", place.at)).collect())
}

/// Builds the site where Hugo is there.
fn build(site: &Path) -> Result<()> {
    match Command::new("hugo").arg("--source").arg(site).args(["--quiet", "--cleanDestinationDir"]).status() {
        Ok(status) if status.success() => {
            println!("built: open {}", site.join("public/index.html").display());
            Ok(())
        }
        Ok(status) => Err(Error::new(ErrorKind::InvalidData, format!("Hugo cannot build the site ({status})"))),
        Err(_) => {
            println!("Hugo is not installed: `hugo --source {} server` shows the site where it is", site.display());
            Ok(())
        }
    }
}
