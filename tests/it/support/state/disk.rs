//! A disk as it may look after a power cut, replayed from a [`Recording`](crate::support::state::recording::Recording).
//!
//! What is on it for sure: of a file, what had been written before its last completed sync began; of a
//! folder, the names that had been given, changed or taken before its own last completed sync began. A name
//! leads to its file only while every folder above it has its name, too. Nothing else is promised: the sync
//! of a file says nothing of its name, and one file nothing of another.
//!
//! What was not synced may be lost altogether, or in part: then each page is as it was at any moment since
//! the last sync, may be torn between two sectors, and so may the file's size be any it has had since.
//! Pages that were never written read as zeroes. Of a folder's changes the first so many have happened.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng, RngExt as _};

use crate::support::state::recording::{Deed, Record};

const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// The disk.
pub(crate) struct Disk {
    root: PathBuf,
    files: Vec<Content>,
    /// The current file of an inode number. The number of a deleted file is used again.
    by_inode: HashMap<u64, usize>,
    /// Every name as the processes see it.
    names: BTreeMap<PathBuf, Node>,
    durable_names: BTreeMap<PathBuf, Node>,
    folders: BTreeMap<PathBuf, Changes<NameChange>>,
    /// By thread: the running sync, and how many changes were made before it began.
    syncing: HashMap<u64, (Synced, usize)>,
}

/// The part of the unsynced data that survives the power cut.
pub(crate) enum Kept<'a> {
    Nothing,
    Everything,
    Some(&'a mut StdRng),
}

/// The content of the disk afterwards, by paths below its root.
#[derive(Default, PartialEq, Eq, Debug)]
pub(crate) struct Image {
    pub folders: BTreeSet<PathBuf>,
    pub files: BTreeMap<PathBuf, Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Node {
    Folder,
    File(usize),
}

enum NameChange {
    Given(PathBuf, Node),
    Moved(PathBuf, PathBuf),
    Taken(PathBuf),
}

enum Synced {
    File(usize),
    Folder(PathBuf),
}

/// Changes in the order in which they were made; the first `durable_count` are no longer stored.
struct Changes<C> {
    durable_count: usize,
    pending: VecDeque<C>,
}

#[derive(Default)]
struct Content {
    durable: Vec<u8>,
    changes: Changes<Change>,
}

enum Change {
    Bytes { at: usize, bytes: Vec<u8> },
    Size(usize),
}

impl<C> Default for Changes<C> {
    fn default() -> Self {
        Self { durable_count: 0, pending: VecDeque::new() }
    }
}

impl<C> Changes<C> {
    fn count(&self) -> usize {
        self.durable_count + self.pending.len()
    }

    /// Returns those among the first `count` changes that were not durable yet.
    fn sync(&mut self, count: usize) -> impl Iterator<Item = C> {
        let new = count.saturating_sub(self.durable_count);
        self.durable_count += new;
        self.pending.drain(..new)
    }
}

impl Disk {
    /// An empty disk below `root`.
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.canonicalize().unwrap(),
            files: Vec::new(),
            by_inode: HashMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            folders: BTreeMap::new(),
            syncing: HashMap::new(),
        }
    }

    /// Applies a record.
    pub(crate) fn replay(&mut self, record: &Record) {
        match &record.deed {
            Deed::Started | Deed::Sent { .. } => {}
            Deed::Created { inode, path } => {
                self.by_inode.insert(*inode, self.files.len());
                let node = Node::File(self.files.len());
                self.files.push(Content::default());
                self.rename(path, NameChange::Given(self.below(path), node));
            }
            Deed::Wrote { inode, at, bytes } => {
                self.change(*inode, Change::Bytes { at: *at, bytes: bytes.clone() });
            }
            Deed::Resized { inode, size } => self.change(*inode, Change::Size(*size)),
            Deed::Renamed { from, to } => {
                assert_eq!(from.parent(), to.parent(), "renamed across folders: not modelled");
                self.rename(to, NameChange::Moved(self.below(from), self.below(to)));
            }
            Deed::Linked { from, to } => {
                let node = self.names[&self.below(from)];
                self.rename(to, NameChange::Given(self.below(to), node));
            }
            Deed::Unlinked { path } => self.rename(path, NameChange::Taken(self.below(path))),
            Deed::FolderCreated { path } => {
                self.rename(path, NameChange::Given(self.below(path), Node::Folder));
            }
            Deed::SyncBegan { inode, path } => {
                let begun = self.begin_sync(*inode, &self.below(path));
                self.syncing.insert(record.thread, begun);
            }
            Deed::SyncEnded { .. } => self.end_sync(record.thread),
        }
    }

    fn below(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap().to_owned()
    }

    fn change(&mut self, inode: u64, change: Change) {
        // A missing file would mean a gap in the recording.
        self.files[self.by_inode[&inode]].changes.pending.push_back(change);
    }

    fn rename(&mut self, path: &Path, change: NameChange) {
        let folder = self.below(path.parent().unwrap());
        change.apply(&mut self.names);
        self.folders.entry(folder).or_default().pending.push_back(change);
    }

    fn begin_sync(&self, inode: u64, path: &Path) -> (Synced, usize) {
        let is_folder = path == Path::new("") || self.names.get(path) == Some(&Node::Folder);
        if is_folder {
            let count = self.folders.get(path).map_or(0, Changes::count);
            return (Synced::Folder(path.to_owned()), count);
        }
        let file = self.by_inode[&inode];
        (Synced::File(file), self.files[file].changes.count())
    }

    fn end_sync(&mut self, thread: u64) {
        let (synced, count) = self.syncing.remove(&thread).unwrap();
        match synced {
            Synced::File(file) => {
                let Content { durable, changes } = &mut self.files[file];
                changes.sync(count).for_each(|change| change.apply(durable));
            }
            Synced::Folder(path) => {
                let changes = self.folders.entry(path).or_default();
                changes.sync(count).for_each(|change| change.apply(&mut self.durable_names));
            }
        }
    }

    /// The content of the disk if the power is cut now.
    pub(crate) fn cut(&self, mut kept: Kept<'_>) -> Image {
        let mut names = self.durable_names.clone();
        for changes in self.folders.values() {
            let count = match &mut kept {
                Kept::Nothing => 0,
                Kept::Everything => changes.pending.len(),
                Kept::Some(dice) => dice.random_range(0..=changes.pending.len()),
            };
            changes.pending.iter().take(count).for_each(|change| change.apply(&mut names));
        }
        let mut image = Image::default();
        // A folder comes before its content.
        for (path, node) in names {
            let parent = path.parent().unwrap();
            if parent != Path::new("") && !image.folders.contains(parent) {
                continue;
            }
            match node {
                Node::Folder => _ = image.folders.insert(path),
                Node::File(file) => _ = image.files.insert(path, self.files[file].cut(&mut kept)),
            }
        }
        image
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Given(path, node) => _ = names.insert(path.clone(), *node),
            Self::Taken(path) => _ = names.remove(path),
            Self::Moved(from, to) => {
                if let Some(node) = names.remove(from) {
                    assert_ne!(node, Node::Folder, "a folder renamed: not modelled");
                    names.insert(to.clone(), node);
                }
            }
        }
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Size(size) => content.resize(*size, 0),
            Self::Bytes { at, bytes } => {
                let end = at + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*at..end].copy_from_slice(bytes);
            }
        }
    }
}

impl Content {
    fn cut(&self, kept: &mut Kept<'_>) -> Vec<u8> {
        match kept {
            Kept::Nothing => self.durable.clone(),
            Kept::Everything => self.version(self.changes.pending.len()),
            Kept::Some(dice) => self.mix(dice),
        }
    }

    /// The durable content with the first `count` changes.
    fn version(&self, count: usize) -> Vec<u8> {
        let mut content = self.durable.clone();
        self.changes.pending.iter().take(count).for_each(|change| change.apply(&mut content));
        content
    }

    /// Takes each page, and the size, from any version. A few versions are computed once, not one for each page.
    fn mix(&self, dice: &mut StdRng) -> Vec<u8> {
        let pending = self.changes.pending.len();
        if pending == 0 {
            return self.durable.clone();
        }
        let mut counts: Vec<usize> = (0..3).map(|_| dice.random_range(0..=pending)).collect();
        counts.extend([0, pending]);
        let versions: Vec<Vec<u8>> = counts.iter().map(|count| self.version(*count)).collect();
        // Mostly the last size: a hole at the end is the more harmless case.
        let sized = if pick(dice, 4) > 0 { versions.len() - 1 } else { pick(dice, versions.len()) };
        let size = versions[sized].len();
        let mut content = vec![0; size];
        for start in (0..size).step_by(PAGE) {
            let end = size.min(start + PAGE);
            let is_torn = pick(dice, 4) == 0;
            let tear = if is_torn { start + SECTOR * pick(dice, PAGE / SECTOR) } else { end };
            for (from, to) in [(start, tear.min(end)), (tear.min(end), end)] {
                let version = &versions[pick(dice, versions.len())];
                let (from, to) = (from.min(version.len()), to.min(version.len()));
                content[from..to].copy_from_slice(&version[from..to]);
            }
        }
        content
    }
}

fn pick(dice: &mut impl Rng, count: usize) -> usize {
    dice.random_range(0..count)
}

impl Image {
    /// Writes the image into the empty `folder`.
    pub(crate) fn write_to(&self, folder: &Path) {
        for path in &self.folders {
            std::fs::create_dir(folder.join(path)).unwrap();
        }
        for (path, content) in &self.files {
            std::fs::write(folder.join(path), content).unwrap();
        }
    }

    /// The content of `folder`, without the files that the recorder ignores.
    pub(crate) fn of(folder: &Path) -> Self {
        let mut image = Self::default();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                let below = path.strip_prefix(folder).unwrap().to_owned();
                if path.is_dir() {
                    image.folders.insert(below);
                    folders.push(path);
                } else if !path.to_str().unwrap().ends_with("-shm")
                    && path.extension().is_none_or(|e| e != "lock")
                {
                    image.files.insert(below, std::fs::read(path).unwrap());
                }
            }
        }
        image
    }
}
