//! Pure: manifests judged offline.
