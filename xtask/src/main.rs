//! The repository's tasks: `cargo xtask run` and `cargo xtask test`, and the checks between them.
//!
//! Plain standard library, so that it builds in a second on a machine that has nothing but Rust. Every
//! task prints the command lines that it runs; what they say is theirs.

#![expect(clippy::print_stdout, reason = "a task's product is what it prints")]

mod machine;
mod steps;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <task>

  run [ARG …]   install what is missing, build, and open Eosin; where no display exists,
                ask the demonstration question on the command line
  test          install what is missing, then every check and every test
  check         the checks of `test` that run no program: fmt, tidy, clippy, licences
  tidy          the repository's own rules
  build         build the binary, and print where it lies
  bench peers   answering and embedding beside llama.cpp and ONNX Runtime, written into PERFORMANCE.md;
                rows can be named: `bench peers decode prefill --threads 1`
  bench kernels packed products beside the memory's and the processor's roofs (EOSIN_CPU=avx2: another path)
  bench train   training steps beside PyTorch, in the Python that EOSIN_PYTHON names
  bench tiles   tiles of slides beside OpenSlide's own reading
  bench search  time and recall of a search among vectors: `bench search 100000 1000000`
  bench index   tiles a second of an indexing run beside ONNX Runtime, in that Python
  screenshots   draw the window's main states into assets/screenshots
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let task = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let done = match task.as_str() {
        "run" => steps::run(&rest),
        "test" => steps::test(),
        "check" => steps::check(),
        "tidy" => tidy::check(&steps::root()),
        "build" => steps::build().map(|path| println!("{}", path.display())),
        "bench" => steps::bench(&rest),
        "screenshots" => steps::screenshots(),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::from(2)
        }
    }
}
