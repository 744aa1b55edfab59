// SPDX-License-Identifier: Apache-2.0
//! What a run leaves behind: a table in the terminal, JSON with every sample, a page with plots.

pub mod machine;
pub mod page;
pub mod svg;
pub mod targets;
pub mod terminal;
