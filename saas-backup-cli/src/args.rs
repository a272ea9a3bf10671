use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use saas_backup::core::{At, CollectionName, Error, Period, WriteMode};
use saas_backup::{VerifyRead, parse_at};

/// Complete, incremental, verifiable copies of SaaS data on storage of your own.
#[derive(Debug, Parser)]
#[command(name = "saas-backup", version, propagate_version = true, after_help = EXAMPLES, subcommand_required = true)]
pub(crate) struct Cli {
    /// The configuration. Default: saas-backup.toml in the working directory
    #[arg(long, short, global = true, value_name = "FILE", env = "SAAS_BACKUP_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// Print one JSON object, or one a line; text for people and progress go to stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Show no progress
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,

    /// Log more: -v what happens, -vv each request; a filter in `SAAS_BACKUP_LOG` beats both
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Begin:
  saas-backup init                       make keys, a commented saas-backup.toml and a repository
  saas-backup connectors wordpress       what to write into [[source]]
  saas-backup check                      do the credentials work, and what do they see
  saas-backup backup                     back up; the next run takes the changes alone

Look and take out:
  saas-backup snapshots blog             the points in time
  saas-backup ls blog posts              the records of a collection
  saas-backup show blog posts 12 --at latest~3
  saas-backup diff blog --from latest~1 --to latest
  saas-backup export blog --format markdown --to ./vault
  saas-backup restore blog --to blog --collection posts --id 12 --dry-run

Keep in order:
  saas-backup forget --dry-run           what [retention] keeps, and why
  saas-backup maintain                   merge, and remove what nobody needs
  saas-backup replicate                  copy the repository to its replicas
  saas-backup drill                      rehearse a restore, and measure how long it takes
  saas-backup repair --read all          fetch what is damaged here from a replica

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 done but incomplete, 4 needs review,
5 integrity error, 6 another run is at work or won.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an age identity: the key that reads a repository
    #[command(after_help = "Example:\n  saas-backup keygen --out me.key")]
    Keygen(KeygenArgs),
    /// Make the repository, with keys and a configuration where there are none
    #[command(after_help = "\
Without a configuration, writes saas-backup.toml, me.key and agent.key into the working directory, readable by you
alone, and makes the repository. With one, makes the repository that it names.

Examples:
  saas-backup init
  saas-backup init --url s3://my-bucket/saas")]
    Init(InitArgs),
    /// Say who reads and who writes; change it, check it, keep a key for later
    #[command(after_help = "\
The identity that the repository was made with states who reads and who writes. A change rewrites the small objects that
hold keys, and no data. Who is removed reads no more of what is written from then on; what they kept of keys they still have,
so take their access to the storage away, too.

Examples:
  saas-backup key list
  saas-backup key add-recipient age1...
  saas-backup key add-writer second.key              then move it to the machine that backs up
  saas-backup key check
  saas-backup key escrow --to age1... --out escrow.age
  saas-backup key check --escrow escrow.age --identity notary.key")]
    Key(KeyArgs),
    /// List the connectors and formats of this build; document one connector's settings
    #[command(after_help = "\
Examples:
  saas-backup connectors
  saas-backup connectors wordpress
  saas-backup connectors lint source-x.yaml      what a manifest needs, and what is missing
  saas-backup connectors --schema > saas-backup.schema.json")]
    Connectors(ConnectorsArgs),
    /// Check the configuration alone, without asking anybody
    #[command(after_help = "\
Reads everything that it says: the settings of each connector and alert, with what stands in other files and in the answers of
programs, and when each schedule would start. What is wrong is told with line and column, and exit code 2. `check` asks the
accounts, too.

Example:
  saas-backup config check && systemctl reload saas-backup")]
    Config(ConfigArgs),
    /// Check credentials, scopes and reachability; say what each collection shows
    Check(SourcesArgs),
    /// Back up all sources, or some: one run each
    #[command(after_help = "\
A run takes the changes since the last one. Ctrl-C ends it in order: what was made durable is kept, and the next run
goes on from there.

Examples:
  saas-backup backup
  saas-backup backup blog shop
  saas-backup backup blog --accept-deletions    after exit code 4, if the deletions are meant")]
    Backup(BackupArgs),
    /// List the points in time
    Snapshots(SnapshotsArgs),
    /// List the collections of a copy, or the records of one
    #[command(after_help = "Examples:\n  saas-backup ls blog\n  saas-backup ls blog posts --at 2026-11-21T10:00:00Z")]
    Ls(LsArgs),
    /// Print one record as the provider gave it
    #[command(after_help = "\
Examples:
  saas-backup show blog posts 12
  saas-backup show blog posts 12 --at latest~3
  saas-backup show blog posts 12 --history")]
    Show(ShowArgs),
    /// Say what changed between two points in time, per record and field
    #[command(after_help = "Example:\n  saas-backup diff blog --from latest~1 --to latest")]
    Diff(DiffArgs),
    /// Say what exists, what is visible, what is held, what is missing and why
    Completeness(PointArgs),
    /// Write a copy in an open format
    #[command(after_help = "\
The same point in time gives the same bytes.

Examples:
  saas-backup export blog --format markdown --to ./vault
  saas-backup export blog --format jsonl --to ./blog-archive --at latest~7
  saas-backup export blog --format markdown --to ./blog.zip --overwrite")]
    Export(ExportArgs),
    /// Write a copy back into an account
    #[command(after_help = "\
By default nothing that exists is touched. --dry-run lists what cannot be restored. The id map is kept, and a restore
that was cut short goes on where it stopped.

Examples:
  saas-backup restore blog --to blog --collection posts --id 12 --dry-run
  saas-backup restore blog --to new-blog --mode create")]
    Restore(RestoreArgs),
    /// Rehearse a restore: restore, read back, compare, and measure how long it takes
    #[command(after_help = "\
Restores into a folder that is removed afterwards, or with --into into a source of the configuration that says
scratch = true. The result is signed and kept in the repository; `status` shows the measured RTO, which only a full drill
gives. Exit code 5 if something did not come back as it was.

Examples:
  saas-backup drill                          every source, its newest point, as [drill] says
  saas-backup drill blog --random --sample 1000
  saas-backup drill blog --full --at latest~30
  saas-backup drill blog --into blog-test --dry-run
  saas-backup drill --list                   what is signed and kept")]
    Drill(DrillArgs),
    /// Take an archive in an open format as a new point in time
    #[command(after_help = "Example:\n  saas-backup import jsonl ./blog-archive --as blog")]
    Import(ImportArgs),
    /// Check that the repository is whole
    #[command(after_help = "\
Without --read, checks that everything is there, that the chain of commits holds and that it is signed. --read also
reads the data itself, needs the identity, and notes in the repository what was read and when: later runs go by that, and
so does keep_verified of [retention].

Examples:
  saas-backup verify
  saas-backup verify --read due          once a day: everything is read within 28 days
  saas-backup verify --read 5
  saas-backup verify --read all")]
    Verify(VerifyArgs),
    /// Mend what is damaged: from a copy that `replicate` made, or without one
    #[command(after_help = "\
Takes the identity. Looks as `verify` does, so `verify` with the same --read says beforehand what is wrong, and changes
nothing. Without --read, damage in the data is not looked for.

With a [[replica]] or --from, fetches what is wrong here. What the copy holds is only taken if it proves to be what was
written; what is good here is not touched.

Without a copy, makes anew what the repository holds twice: indexes, layouts, parts of commits. --drop gives up what is
lost for good, by name: everything else goes on without it, the points in time that needed it are incomplete, and the next
backup reads everything again. A copy brings back more, so look for one first.

Examples:
  saas-backup repair --read all
  saas-backup repair --from s3://other-account-bucket/saas --read all
  saas-backup repair --read all --drop --dry-run")]
    Repair(RepairArgs),
    /// Forget the points in time that [retention] does not keep
    #[command(after_help = "\
Takes the identity. The points are gone at once, and cannot be brought back; `maintain` frees their space. --dry-run
lists every point with what keeps it, and changes nothing.

Examples:
  saas-backup forget --dry-run
  saas-backup forget blog")]
    Forget(ForgetArgs),
    /// Merge small commits where that is due, and remove what nobody needs
    #[command(after_help = "\
Takes the identity. Forgets nothing: that is `forget`. Backups go on meanwhile. What is merged is compared point by
point, before and after; what it replaces stays until the grace is over, for whoever reads it. Once a day is enough.

Examples:
  saas-backup maintain
  saas-backup maintain blog --dry-run
  saas-backup maintain --all            after much was forgotten: its space is free when the grace is over")]
    Maintain(MaintainArgs),
    /// Erase what concerns a person, or some records, from every point in time
    #[command(after_help = "\
Takes the identity. No reader sees it from then on; `maintain` removes the bytes, and the keys to them, when its grace is
over, and `erasures` says how far that is. It cannot be undone: --dry-run lists what is concerned, and changes nothing.
A record is erased with all its versions if any of them is concerned. What the provider still has comes back with its next
change or full read: erase there first.

Examples:
  saas-backup erase blog --subject users/7 --request T-4711 --dry-run
  saas-backup erase crm --subject users/7 --relation assignee --request T-4711
  saas-backup erase shop --where customers/email=ada@example.com --request T-4711")]
    Erase(EraseArgs),
    /// Say what was erased and whether it is gone; prove it by a search through everything that can be read
    #[command(after_help = "\
--search reads texts from a file or from stdin, one a line as they stand in JSON, and looks for them in every byte of the
source that the keys open, whether it is in use or not; exit code 5 if one is found.

Examples:
  saas-backup erasures
  saas-backup erasures blog --search names.txt
  saas-backup erasures blog --sign ./evidence")]
    Erasures(ErasuresArgs),
    /// Copy the repository to its replicas, or what is new since the last time
    #[command(after_help = "\
Takes the identity: every object is checked on the way. Nothing in a copy is ever replaced, and nothing removed unless its
[[replica]] says prune = true: so give it credentials that may not delete, or let erasures reach it. A copy opens with the
same keys and can take the place of the repository; until then, run neither `backup` nor `maintain` on it: it would follow
no more, and this command would end with 6. A [[replica]] with by = \"records\" is a repository of its own, with its own keys
and retention, which takes over each point in time by reading it.

Examples:
  saas-backup replicate
  saas-backup replicate --to file:///mnt/offsite/saas
  saas-backup replicate --dry-run               what replicas by records would take over")]
    Replicate(ReplicateArgs),
    /// Run the schedules until stopped
    #[command(after_help = "\
Backs up each source when its schedule says so, and once after downtime; rehearses restores, verifies, maintains and
replicates when [drill], [verify], [maintain] and [replicate] say so. SIGTERM and Ctrl-C end it in order; SIGHUP has it read its
configuration anew, and go on with the old one if the new one is wrong.

Example:
  saas-backup serve --listen 127.0.0.1:9800     /healthz and /metrics for your monitoring")]
    Serve(ServeArgs),
    /// List what people were told that is wrong, and whether they heard it
    #[command(after_help = "\
`serve` looks every minute, and tells along each [[alert]] of the configuration what began and what is over. Without `serve`,
run `saas-backup alerts --tell` from cron after the backups. Exit code 1 means that something did not arrive.

Examples:
  saas-backup alerts
  saas-backup alerts --test                     a test along every route, and a sign of life by every heartbeat")]
    Alerts(AlertsArgs),
    /// Say what sources take in storage, how they grow, and when they were last maintained and verified
    #[command(after_help = "\
Needs no identity, and asks few questions of the storage: it goes by layouts and headers. With the identity, sizes before
compression are known, too.

Examples:
  saas-backup stats
  saas-backup stats blog --json")]
    Stats(SourcesArgs),
    /// List every place where data lives, what protects it, and what the provider's own backups are worth
    #[command(after_help = "\
Of sources: owner, size, objectives and what was measured. Each [[store]] of the configuration is a place that is not backed
up, declared by hand. Exit code 3 if something is not protected. Needs no identity.

Examples:
  saas-backup inventory
  saas-backup inventory --json")]
    Inventory,
    /// Compare objectives with what was measured; list last runs, what needs review, next runs
    Status,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say what is wrong with it, and when each schedule would start
    Check,
}

#[derive(Debug, Args)]
pub(crate) struct AlertsArgs {
    /// Send a test along every route
    #[arg(long, conflicts_with = "tell")]
    pub(crate) test: bool,
    /// Look what is wrong now, and tell what is new and what is over
    #[arg(long)]
    pub(crate) tell: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeygenArgs {
    /// Where to write the key, readable by you alone. Default: stdout
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    pub(crate) command: KeyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List who reads and who writes
    List,
    /// Let somebody else read everything
    AddRecipient {
        /// The public key: age1...
        recipient: String,
    },
    /// Take the keys from somebody who read
    RemoveRecipient {
        /// The public key: age1...
        recipient: String,
        /// Say which key objects would be rewritten; change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Let another agent write
    AddWriter {
        /// The file with the agent's key; made if it is not there
        file: PathBuf,
    },
    /// End a writer's right to write: what it wrote stays, what it writes from now on does not count
    RevokeWriter {
        /// The writer's name, as `key list` shows it
        writer: String,
        /// Say which key objects would be rewritten; change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Encrypt the keys of everything to those who read and write now, as far as they are encrypted to others
    Rewrap {
        /// Say which key objects would be rewritten; change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Prove that an identity opens the keys of everything, and that they are those that they should be
    Check {
        /// The file with the identity. Default: the configured one
        #[arg(long, value_name = "FILE")]
        identity: Option<PathBuf>,
        /// An escrow file, which the identity opens: the identity in it is checked
        #[arg(long, value_name = "FILE")]
        escrow: Option<PathBuf>,
    },
    /// Write an age file with all that a person needs to open the repository, this program or not
    Escrow {
        /// The public key of who can open it: age1...; may be given several times
        #[arg(long, value_name = "RECIPIENT", required = true)]
        to: Vec<String>,
        /// The file to write; to be kept apart from the storage
        #[arg(long, short, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Where to make the repository, if there is no configuration yet: a folder or a URL
    #[arg(long, value_name = "URL", default_value = "saas-backup-repository")]
    pub(crate) url: String,
}

#[derive(Debug, Args)]
pub(crate) struct ConnectorsArgs {
    /// The connector or format to document; `lint` looks a manifest through
    pub(crate) name: Option<String>,
    /// The manifest to look through, after `lint`
    #[cfg(feature = "declarative")]
    #[arg(requires = "name")]
    pub(crate) manifest: Option<std::path::PathBuf>,
    /// Print the JSON Schema of saas-backup.toml, for your editor
    #[arg(long, conflicts_with = "name")]
    pub(crate) schema: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SourcesArgs {
    /// The sources. Default: all
    #[arg(value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct BackupArgs {
    /// The sources. Default: all
    #[arg(value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
    /// Read everything, not only the changes
    #[arg(long)]
    pub(crate) full: bool,
    /// Record deletions that the deletion guard stopped
    #[arg(long)]
    pub(crate) accept_deletions: bool,
    /// Take what the account shows now as what it should show, if it showed more before
    #[arg(long)]
    pub(crate) accept_coverage: bool,
    /// Say what would be read; write nothing
    #[arg(long, conflicts_with_all = ["full", "accept_deletions", "accept_coverage"])]
    pub(crate) plan: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotsArgs {
    /// The source. Default: all
    pub(crate) source: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PointArgs {
    /// The source
    pub(crate) source: String,
    #[command(flatten)]
    pub(crate) point: Point,
}

#[derive(Debug, Args)]
pub(crate) struct Point {
    /// The point in time: an RFC 3339 time, a sequence number, a label, latest, latest~3
    #[arg(long, value_name = "T", default_value = "latest", value_parser = at)]
    pub(crate) at: At,
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// The source
    pub(crate) source: String,
    /// The collection whose records to list. Default: list the collections
    #[arg(value_parser = collection)]
    pub(crate) collection: Option<CollectionName>,
    #[command(flatten)]
    pub(crate) point: Point,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The source
    pub(crate) source: String,
    /// The collection
    #[arg(value_parser = collection)]
    pub(crate) collection: CollectionName,
    /// The record's id
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) point: Point,
    /// Print every version, the oldest first
    #[arg(long, conflicts_with = "at")]
    pub(crate) history: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The source
    pub(crate) source: String,
    /// The earlier point in time
    #[arg(long, value_name = "T", value_parser = at)]
    pub(crate) from: At,
    /// The later point in time
    #[arg(long, value_name = "T", default_value = "latest", value_parser = at)]
    pub(crate) to: At,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The source
    pub(crate) source: String,
    /// The format; `saas-backup connectors` lists them
    #[arg(long, short)]
    pub(crate) format: String,
    /// The folder to write, or a file whose name ends with .zip or .tar.zst
    #[arg(long, value_name = "DIR_OR_FILE")]
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) point: Point,
    /// Only this collection; may be given several times
    #[arg(long = "collection", value_name = "C", value_parser = collection)]
    pub(crate) collections: Vec<CollectionName>,
    /// Hold what records were before they changed or were deleted, too; html does unless --history=false
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) history: Option<bool>,
    /// Replace what an earlier export left there
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// A TOML file that says how the collections are read, otherwise than the connector does
    #[arg(long, value_name = "FILE")]
    pub(crate) overlay: Option<PathBuf>,
    /// A setting of the format, such as spreadsheet=true; `saas-backup connectors FORMAT` has them; several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, serde_json::Value)>,
    /// Do not look through the export for faults when it is written
    #[arg(long)]
    pub(crate) no_check: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The source whose copy is restored
    pub(crate) source: String,
    /// The source into whose account it goes
    #[arg(long, value_name = "SOURCE")]
    pub(crate) to: String,
    /// Only this collection; may be given several times
    #[arg(long = "collection", value_name = "C", value_parser = collection)]
    pub(crate) collections: Vec<CollectionName>,
    /// Only this record of the one collection; may be given several times
    #[arg(long = "id", value_name = "ID", requires = "collections")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) point: Point,
    /// What happens to what is there
    #[arg(long, value_enum, default_value_t = Mode::Create)]
    pub(crate) mode: Mode,
    /// Say what would happen, and what cannot be restored; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Mode {
    /// Add everything as new; never touch what exists
    Create,
    /// Add what is not there; leave what is
    Merge,
    /// Add what is not there; replace what is
    Overwrite,
}

impl From<Mode> for WriteMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Create => Self::Create,
            Mode::Merge => Self::Merge,
            Mode::Overwrite => Self::Overwrite,
        }
    }
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct DrillArgs {
    /// The sources. Default: all, but those with scratch = true
    #[arg(value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
    #[command(flatten)]
    pub(crate) point: Point,
    /// List the drills that are kept in the repository, the newest last; make none
    #[arg(long, conflicts_with_all = ["at", "random", "seed", "sample", "full", "into", "to", "collections", "dry_run"])]
    pub(crate) list: bool,
    /// Any point in time, by chance
    #[arg(long, conflicts_with = "at")]
    pub(crate) random: bool,
    /// Decides what is chosen by chance: the same number chooses the same. Default: another one each time
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Restore so many records, by chance, and what they need. Default: as [drill] says, or everything
    #[arg(long, value_name = "N", conflicts_with = "full")]
    pub(crate) sample: Option<std::num::NonZeroUsize>,
    /// Restore everything
    #[arg(long)]
    pub(crate) full: bool,
    /// A format that reads back, or a source with scratch = true. Default: as [drill] says, or jsonl
    #[arg(long, value_name = "NAME")]
    pub(crate) into: Option<String>,
    /// Keep what is restored in a format, here
    #[arg(long, value_name = "PATH")]
    pub(crate) to: Option<PathBuf>,
    /// Only this collection; may be given several times. The result is not kept then
    #[arg(long = "collection", value_name = "C", value_parser = collection)]
    pub(crate) collections: Vec<CollectionName>,
    /// Say what would be written into an account; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The format; one that reads back
    pub(crate) format: String,
    /// Its folder or packed file
    pub(crate) path: PathBuf,
    /// The source that it becomes a point in time of
    #[arg(long = "as", value_name = "SOURCE")]
    pub(crate) source: String,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Also read what is due for everything to be read within 28 days, if that is done daily; or so many percent of the
    /// data, or all of it. What was not read for longest comes first
    #[arg(long, value_name = "due|PERCENT|all", value_parser = read)]
    pub(crate) read: Option<VerifyRead>,
    /// The period within which everything is read with --read due. Default: 28d
    #[arg(long, value_name = "TIME", value_parser = period, requires = "read")]
    pub(crate) within: Option<Period>,
}

#[derive(Debug, Args)]
pub(crate) struct RepairArgs {
    /// The copy: a configured replica, or any other folder or URL. Default: the first [[replica]] that can be opened
    #[arg(long, value_name = "URL", conflicts_with_all = ["drop", "dry_run"])]
    pub(crate) from: Option<String>,
    /// Also read so many percent of the data, or all of it
    #[arg(long, value_name = "PERCENT|all", value_parser = percent)]
    pub(crate) read: Option<u8>,
    /// Take nothing from a copy, and give up what is lost for good
    #[arg(long)]
    pub(crate) drop: bool,
    /// Take nothing from a copy, and say what would be mended and given up without one; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReplicateArgs {
    /// Where to: a configured replica, or any other folder or URL. Default: every [[replica]]
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<String>,
    /// Say which points in time replicas by records would take over, and write nothing; copies are left out
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EraseArgs {
    /// The source
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    /// A person, as the source names them: their record, and what they wrote
    #[arg(long = "subject", value_name = "COLLECTION/ID", required_unless_present_any = ["records", "conditions", "requested"])]
    pub(crate) subjects: Vec<String>,
    /// Also records that refer to the person by this relationship
    #[arg(long = "relation", value_name = "NAME", requires = "subjects")]
    pub(crate) relations: Vec<String>,
    /// One record
    #[arg(long = "record", value_name = "COLLECTION/ID")]
    pub(crate) records: Vec<String>,
    /// Records of a collection with this value at a JSON pointer
    #[arg(long = "where", value_name = "COLLECTION/POINTER=VALUE")]
    pub(crate) conditions: Vec<String>,
    /// The id of the request, such as the number of a ticket; stands in the clear: no personal data
    #[arg(long, value_name = "ID", required_unless_present = "requested")]
    pub(crate) request: Option<String>,
    /// Everything that the source itself asks to erase; it is told what was done. Repeat it after `maintain`
    #[arg(long, conflicts_with_all = ["subjects", "relations", "records", "conditions", "request", "basis"])]
    pub(crate) requested: bool,
    /// Why: data-subject-request, retention, contract-end, court-order, unlawful or other
    #[arg(long, value_name = "WHY", default_value = "data-subject-request")]
    pub(crate) basis: String,
    /// Erase although a point has the label legal-hold
    #[arg(long)]
    pub(crate) despite_hold: bool,
    /// Say what would be erased, and why; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ErasuresArgs {
    /// The sources. Default: all that are configured
    #[arg(value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
    /// Search for the texts of a file, one a line; - for stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) search: Option<PathBuf>,
    /// Write SOURCE.erasures into a folder: what was erased and how far it is, signed
    #[arg(long, value_name = "FOLDER")]
    pub(crate) sign: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    /// The sources. Default: all that are configured
    #[arg(value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
    /// Say what would be forgotten, and what keeps the rest; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MaintainArgs {
    /// The sources. Default: all that are configured
    #[arg(value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
    /// Merge everything, whether it is due or not
    #[arg(long)]
    pub(crate) all: bool,
    /// How long what was given up stays, never less than twice the longest run; exports and runs that take longer may
    /// fail. Default: 7d
    #[arg(long, value_name = "TIME", value_parser = period)]
    pub(crate) grace: Option<Period>,
    /// Say what would be done; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Answer /healthz and /metrics at this address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<std::net::SocketAddr>,
    /// Runs at a time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) parallel: u16,
    /// Seconds that a stop lets runs go on, before it cancels them
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) grace: u64,
}

fn at(text: &str) -> Result<At, String> {
    parse_at(text).map_err(|error| error.message().to_owned())
}

fn collection(text: &str) -> Result<CollectionName, String> {
    CollectionName::parse(text).map_err(|error| error.message().to_owned())
}

fn period(text: &str) -> Result<Period, String> {
    text.parse().map_err(|error: Error| error.message().to_owned())
}

/// `KEY=VALUE`; a value that is JSON (`true`, `12`, `["a"]`) is that, anything else is a text.
fn setting(text: &str) -> Result<(String, serde_json::Value), String> {
    let (name, value) = text.split_once('=').ok_or("a setting is written KEY=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((name.to_owned(), value))
}

fn read(text: &str) -> Result<VerifyRead, String> {
    match text {
        "due" => Ok(VerifyRead::Due(VerifyRead::PERIOD)),
        text => percent(text).map(VerifyRead::Percent).map_err(|error| format!("{error}, or due")),
    }
}

fn percent(text: &str) -> Result<u8, String> {
    match text {
        "all" => Ok(100),
        number => match number.strip_suffix('%').unwrap_or(number).parse() {
            Ok(percent @ 1..=100) => Ok(percent),
            _ => Err("write a percentage from 1 to 100, or all".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_options_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_percentage_is_a_number_or_all() {
        assert_eq!([percent("all"), percent("5"), percent("5%")], [Ok(100), Ok(5), Ok(5)]);
        assert!(percent("0").is_err() && percent("101").is_err() && percent("some").is_err());
    }
}
