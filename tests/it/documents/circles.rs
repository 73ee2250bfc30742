//! No two files of a crate import each other, not even by way of others: so each can be read after those it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module's path below its crate's root, such as `relay::lane`; empty for the root itself.
type Module = Vec<String>;

/// Which modules each module of a crate imports.
type Imports = BTreeMap<Module, BTreeSet<Module>>;

/// The sources of every crate of the workspace.
fn crates() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let members = fs::read_dir(root.join("crates")).unwrap().map(|entry| entry.unwrap().path().join("src"));
    members.chain([root.join("src")]).collect()
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] }).collect()
}

/// The module that is in the file at `path`, unless it is one of tests.
fn module_of(source: &Path, path: &Path) -> Option<Module> {
    let path = path.strip_prefix(source).unwrap().with_extension("");
    let mut module: Module = path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    module.pop_if(|last| matches!(last.as_str(), "mod" | "lib" | "main"));
    module.iter().all(|part| !part.starts_with("tests")).then_some(module)
}

/// The code without its comments and its unit tests.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    code.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The paths that a `use` of `tree` brings in, each behind `head`.
fn expand(tree: &str, head: &[&str], paths: &mut Vec<Module>) {
    let (own, list) = tree.split_once('{').map_or((tree, None), |(own, list)| (own, Some(list)));
    let own = own.split("::").map(|part| part.split(" as ").next().unwrap().trim());
    let head: Vec<&str> = head.iter().copied().chain(own.filter(|part| !part.is_empty())).collect();
    let Some(list) = list else { return paths.push(head.iter().map(ToString::to_string).collect()) };
    let (mut depth, mut start) = (0, 0);
    for (at, sign) in list.char_indices() {
        match sign {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                expand(&list[start..at], &head, paths);
                start = at + 1;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
}

/// All paths that `code` names. A module that exports a name again does not need it for that.
fn paths_in(code: &str) -> Vec<Module> {
    let (mut paths, mut others) = (Vec::new(), String::new());
    for statement in code.split(";\n") {
        let start = statement.rfind("\nuse ").map_or(0, |at| at + 1);
        match statement[start..].strip_prefix("use ") {
            Some(tree) => expand(tree, &[], &mut paths),
            None if statement[start..].contains("pub use ") => {}
            None => others += statement,
        }
    }
    for marker in ["crate::", "super::"] {
        for (at, _) in others.match_indices(marker) {
            let path =
                others[at..].split(|sign: char| !sign.is_alphanumeric() && !"_:".contains(sign)).next();
            let parts = path.unwrap().split("::").filter(|part| !part.is_empty());
            paths.push(parts.map(str::to_owned).collect());
        }
    }
    paths
}

/// The module that `path` leads to from `module`, or that has what it names.
fn resolve(path: &[String], module: &Module, known: &BTreeSet<Module>) -> Option<Module> {
    let mut from = module.clone();
    let is_below = |first: &String| known.contains(&[&module[..], std::slice::from_ref(first)].concat());
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => from.clear(),
        "super" | "self" => {}
        _ if path.first().is_some_and(is_below) => {}
        _ => return None,
    }
    while let Some(first) = rest.first().filter(|first| matches!(first.as_str(), "crate" | "super" | "self"))
    {
        if first == "super" {
            from.pop();
        }
        rest = &rest[1..];
    }
    from.extend(rest.iter().cloned());
    while !known.contains(&from) {
        from.pop()?;
    }
    Some(from).filter(|found| found != module)
}

fn imports(source: &Path) -> Imports {
    let files = files_in(source).into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let files: BTreeMap<Module, PathBuf> =
        files.filter_map(|path| Some((module_of(source, &path)?, path))).collect();
    let known: BTreeSet<Module> = files.keys().cloned().collect();
    let needs = |(module, path): (&Module, &PathBuf)| {
        let paths = paths_in(&code(&fs::read_to_string(path).unwrap()));
        let needed = paths.iter().filter_map(|path| resolve(path, module, &known));
        (module.clone(), needed.collect())
    };
    files.iter().map(needs).collect()
}

/// The modules that are left when those that need none of the others, or that none needs, are taken away.
fn tied(mut imports: Imports) -> Vec<String> {
    loop {
        let needed: BTreeSet<Module> = imports.values().flatten().cloned().collect();
        let free = |module: &Module, needs: &BTreeSet<Module>| needs.is_empty() || !needed.contains(module);
        let free: Vec<Module> = imports
            .iter()
            .filter(|(module, needs)| free(module, needs))
            .map(|(module, _)| module.clone())
            .collect();
        if free.is_empty() {
            return imports.keys().map(|module| module.join("::")).collect();
        }
        imports.retain(|module, _| !free.contains(module));
        for needs in imports.values_mut() {
            needs.retain(|module| !free.contains(module));
        }
    }
}

#[test]
fn no_files_import_each_other() {
    for source in crates() {
        let imports = imports(&source);
        assert!(!imports.is_empty(), "{}", source.display());
        let tied = tied(imports);
        assert!(tied.is_empty(), "in a circle in {}: {tied:#?}", source.display());
    }
}

#[test]
fn a_circle_is_found() {
    let module = |name: &str| vec![name.to_owned()];
    let imports = |pairs: &[(&str, &[&str])]| -> Imports {
        pairs
            .iter()
            .map(|(name, needs)| (module(name), needs.iter().map(|need| module(need)).collect()))
            .collect()
    };
    assert_eq!(tied(imports(&[("a", &["b"]), ("b", &["c"]), ("c", &[])])), [""; 0]);
    assert_eq!(tied(imports(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"]), ("d", &["a"])])), ["b", "c"]);
    let named = paths_in(
        "use crate::{sink, store::{Store, lock as l}};\npub use crate::gone::X;\nlet x = super::y::z();",
    );
    let named: Vec<String> = named.iter().map(|path| path.join("::")).collect();
    assert_eq!(named, ["crate::sink", "crate::store::Store", "crate::store::lock", "super::y::z"]);
}
