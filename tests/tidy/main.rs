//! Taste as a test: what a reviewer would say every time is said by the build instead.
//!
//! Each rule is a pure function from the files of the project to a list of complaints, and is itself tested with a small
//! tree that breaks it.

mod arrows;
mod codes;
mod dead;
mod layout;
mod manifest;
mod paths;
mod record;
mod run;
mod size;
mod tree;
mod words;

use tree::File;

fn assert_tidy(rule: fn(&[File]) -> Vec<String>) {
    let complaints = rule(&tree::read());
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn arrows_between_crates_run_one_way() {
    assert_tidy(arrows::between_crates);
}

#[test]
fn no_crate_reaches_what_it_must_not_know() {
    assert_tidy(arrows::reach);
}

#[test]
fn there_is_one_version_of_what_all_share() {
    assert_tidy(arrows::one_version);
}

#[test]
fn manifests_agree() {
    assert_tidy(manifest::agrees);
}

#[test]
fn files_and_lines_are_short() {
    assert_tidy(size::check);
}

#[test]
fn no_file_is_dead() {
    assert_tidy(dead::check);
}

#[test]
fn every_error_code_has_a_page_and_one_owner() {
    assert_tidy(codes::check);
}

#[test]
fn no_word_is_banned() {
    assert_tidy(words::check);
}

#[test]
fn modules_open_with_what_they_are_and_mod_files_only_declare() {
    assert_tidy(layout::modules);
}

#[test]
fn the_code_map_knows_every_folder() {
    assert_tidy(layout::code_map);
}

#[test]
fn no_path_of_one_machine_is_written_down() {
    assert_tidy(paths::check);
}

#[test]
fn the_track_record_names_code_that_is_there() {
    assert_tidy(record::names);
}
