//! A PostgreSQL server with pgvector for the length of a test: a fresh database in a temporary folder, reached by a
//! socket in that folder. Where none is installed, the caller is told to skip.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A running server; it ends with the value.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    bin: PathBuf,
}

impl Server {
    /// Starts a server; none where PostgreSQL or pgvector is not installed, which is said.
    pub(crate) fn start() -> Option<Self> {
        let Some(bin) = find() else {
            eprintln!("skipped: no PostgreSQL with pgvector on this machine");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        if is_root() {
            // The server refuses to run as root.
            let status = Command::new("chown").arg("postgres").arg(folder.path()).status().unwrap();
            assert!(status.success(), "cannot give the folder to the user postgres");
        }
        let server = Self { folder, bin };
        let data = server.data();
        server.run(
            "initdb",
            &["-D", &data, "-A", "trust", "-U", "eosin", "-E", "UTF8", "--no-sync", "--no-locale"],
        );
        let socket = server.folder.path().display();
        let options = format!("-k {socket} -c listen_addresses= -c fsync=off -c shared_buffers=64MB");
        let log = server.folder.path().join("log").display().to_string();
        server.run("pg_ctl", &["-D", &data, "-l", &log, "-w", "-o", &options, "start"]);
        Some(server)
    }

    /// Its address, as users give one.
    pub(crate) fn address(&self) -> String {
        let socket = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://eosin@{socket}/postgres")
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn command(&self, program: &str) -> Command {
        let program = self.bin.join(program);
        if !is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    }

    fn run(&self, program: &str, args: &[&str]) {
        // The server must not inherit our pipes, or whoever reads them waits for it.
        let log = std::fs::File::create(self.folder.path().join(format!("{program}.log"))).unwrap();
        let mut command = self.command(program);
        command.args(args).current_dir("/").stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let status = command.status().unwrap();
        let talk = || std::fs::read_to_string(self.folder.path().join(format!("{program}.log"))).unwrap();
        assert!(status.success(), "{program}: {}", talk());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.data();
        let stop = ["-D", &data, "-m", "immediate", "stop"];
        let _ended = self.command("pg_ctl").args(stop).current_dir("/").stdout(Stdio::null()).status();
    }
}

/// The newest installed server that has pgvector.
fn find() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let version = path.file_name().unwrap_or_default();
            let control = Path::new("/usr/share/postgresql").join(version).join("extension/vector.control");
            path.join("bin/initdb").is_file() && control.is_file()
        })
        .collect();
    versions.sort();
    versions.pop().map(|path| path.join("bin"))
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
}
