// SPDX-License-Identifier: Apache-2.0
//! The documentation in the layout of the Terraform Registry, made from the schemas and the example files.
//!
//! The same schemas and examples give the same bytes, so that a test can tell that the committed pages are stale.

mod schema;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tfplugin::schema::{FunctionSchema, ObjectSchema};
use tfplugin::{Description, ResourceDescription, Schema};

use crate::HytheProvider;

/// The folders whose every page is made here. Guides are not among them: some are about the server, and written by hand.
const FOLDERS: [&str; 5] = [
    "resources",
    "data-sources",
    "ephemeral-resources",
    "functions",
    "list-resources",
];

/// The longest page that the Terraform Registry takes, in bytes.
const MAX_PAGE_BYTES: usize = 500_000;

const INDEX: &str = include_str!("pages/index.md");
const GUIDES: [(&str, &str); 3] = [
    (
        "access-with-terraform",
        include_str!("pages/guides/access-with-terraform.md"),
    ),
    ("authentication", include_str!("pages/guides/authentication.md")),
    (
        "moving-from-amazon-ecr",
        include_str!("pages/guides/moving-from-amazon-ecr.md"),
    ),
];

/// Why there are no pages, or not the right ones.
#[derive(Debug, thiserror::Error)]
pub enum PagesError {
    /// An example file is missing or cannot be read.
    #[error("example `{}`: {cause}", .path.display())]
    Example {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: std::io::Error,
    },
    /// A page cannot be read, written or removed.
    #[error("page `{}`: {cause}", .path.display())]
    Page {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: std::io::Error,
    },
    /// Something has no description.
    #[error("no description: {}", .0.join(", "))]
    Undocumented(Vec<String>),
    /// A page is longer than the Terraform Registry takes.
    #[error("`{}` is longer than {MAX_PAGE_BYTES} bytes", .0.display())]
    TooLong(PathBuf),
    /// The pages that are there are not those that would be made.
    #[error("not up to date: {}", .0.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "))]
    Stale(Vec<PathBuf>),
}

/// Makes the pages of `provider` with the examples in `examples`, and writes them into `out`; or, with `check`, only compares.
pub fn make(provider: &HytheProvider, examples: &Path, out: &Path, check: bool) -> Result<(), PagesError> {
    let pages = render(&Description::of(provider), examples)?;
    let left_over = left_over(out, &pages)?;
    if check {
        let is_stale =
            |(path, page): &(&PathBuf, &String)| fs::read_to_string(out.join(path)).ok().as_ref() != Some(*page);
        let stale: Vec<PathBuf> = pages
            .iter()
            .filter(is_stale)
            .map(|(path, _)| path.clone())
            .chain(left_over)
            .collect();
        return if stale.is_empty() {
            Ok(())
        } else {
            Err(PagesError::Stale(stale))
        };
    }
    for (path, page) in &pages {
        let path = out.join(path);
        let fail = |cause| PagesError::Page {
            path: path.clone(),
            cause,
        };
        fs::create_dir_all(path.parent().unwrap_or(out)).map_err(fail)?;
        fs::write(&path, page).map_err(fail)?;
    }
    for path in left_over {
        let path = out.join(path);
        fs::remove_file(&path).map_err(|cause| PagesError::Page { path, cause })?;
    }
    Ok(())
}

/// The pages by their path below the documentation's folder.
fn render(description: &Description, examples: &Path) -> Result<BTreeMap<PathBuf, String>, PagesError> {
    let undocumented = description.undocumented();
    if !undocumented.is_empty() {
        return Err(PagesError::Undocumented(undocumented));
    }
    let maker = Maker {
        provider: &description.name,
        examples,
    };
    let mut pages = BTreeMap::from([("index.md".into(), maker.index(&description.provider)?)]);
    let mut add = |folder: &str, name: &str, page: String| {
        let short = name.strip_prefix(&format!("{}_", description.name)).unwrap_or(name);
        pages.insert(Path::new(folder).join(format!("{short}.md")), page);
    };
    for (name, resource) in &description.resources {
        add("resources", name, maker.resource(name, resource)?);
    }
    for (name, schema) in &description.data_sources {
        add(
            "data-sources",
            name,
            maker.object(name, "Data Source", "data-sources", "data-source.tf", schema)?,
        );
    }
    for (name, schema) in &description.ephemeral_resources {
        add(
            "ephemeral-resources",
            name,
            maker.object(
                name,
                "Ephemeral Resource",
                "ephemeral-resources",
                "ephemeral-resource.tf",
                schema,
            )?,
        );
    }
    for (name, schema) in &description.list_resources {
        add(
            "list-resources",
            name,
            maker.object(
                name,
                "List Resource",
                "list-resources",
                "list-resource.tfquery.hcl",
                schema,
            )?,
        );
    }
    for (name, schema) in &description.functions {
        add("functions", name, maker.function(name, schema)?);
    }
    for (name, text) in GUIDES {
        add("guides", name, text.to_owned());
    }
    match pages.iter().find(|(_, page)| page.len() > MAX_PAGE_BYTES) {
        Some((path, _)) => Err(PagesError::TooLong(path.clone())),
        None => Ok(pages),
    }
}

struct Maker<'a> {
    provider: &'a str,
    examples: &'a Path,
}

impl Maker<'_> {
    fn index(&self, schema: &Schema) -> Result<String, PagesError> {
        let mut page = front_matter("Provider: Hythe", &schema.description);
        write(
            &mut page,
            format_args!("# Hythe Provider\n\n{}\n\n", schema.description),
        );
        page.push_str(&self.example(&["provider", "provider.tf"])?);
        page.push_str(INDEX);
        page.push('\n');
        page.push_str(&schema::section(&schema.object));
        Ok(page)
    }

    fn resource(&self, name: &str, resource: &ResourceDescription) -> Result<String, PagesError> {
        let mut page = self.object(name, "Resource", "resources", "resource.tf", &resource.schema)?;
        let by = resource.identity.as_ref().map_or_else(String::new, imported_by);
        write(
            &mut page,
            format_args!(
                "\n## Import\n\nIt is imported by {by}. With an [`import` block](https://developer.hashicorp.com/terraform/language/import):\n\n"
            ),
        );
        page.push_str(&self.code("terraform", &["resources", name, "import-by-string-id.tf"])?);
        if let Some(identity) = &resource.identity {
            page.push_str("\nSince Terraform 1.12, also by identity:\n\n");
            page.push_str(&self.code("terraform", &["resources", name, "import-by-identity.tf"])?);
            page.push_str(&identity_section(identity));
        }
        page.push_str("\nWith the [`terraform import` command](https://developer.hashicorp.com/terraform/cli/commands/import):\n\n");
        page.push_str(&self.code("shell", &["resources", name, "import.sh"])?);
        Ok(page)
    }

    fn object(
        &self,
        name: &str,
        kind: &str,
        folder: &str,
        example: &str,
        schema: &Schema,
    ) -> Result<String, PagesError> {
        let mut page = front_matter(&format!("{name} {kind} - {}", self.provider), &schema.description);
        write(
            &mut page,
            format_args!("# {name} ({kind})\n\n{}\n\n", schema.description),
        );
        if let Some(why) = &schema.deprecation {
            write(&mut page, format_args!("~> **Deprecated** {why}\n\n"));
        }
        page.push_str(&self.example(&[folder, name, example])?);
        page.push_str(&schema::section(&schema.object));
        Ok(page)
    }

    fn function(&self, name: &str, function: &FunctionSchema) -> Result<String, PagesError> {
        let mut page = front_matter(&format!("{name} function - {}", self.provider), &function.summary);
        write(
            &mut page,
            format_args!("# function: {name}\n\n{}\n\n", function.summary),
        );
        if function.description != function.summary {
            write(&mut page, format_args!("{}\n\n", function.description));
        }
        page.push_str(&self.example(&["functions", name, "function.tf"])?);
        write(
            &mut page,
            format_args!(
                "## Signature\n\n```text\n{}\n```\n\n## Arguments\n\n",
                function.signature(name)
            ),
        );
        for (position, parameter) in function.parameters.iter().chain(&function.variadic).enumerate() {
            let description = schema::one_line(&parameter.description);
            write(
                &mut page,
                format_args!(
                    "{}. `{}` ({}) {description}\n",
                    position + 1,
                    parameter.name,
                    schema::type_name(&parameter.ty)
                ),
            );
        }
        write(&mut page, format_args!("\n## Return Type\n\n`{}`\n", function.returns));
        Ok(page)
    }

    fn example(&self, path: &[&str]) -> Result<String, PagesError> {
        Ok(format!("## Example Usage\n\n{}\n", self.code("terraform", path)?))
    }

    /// An example file as a block of code.
    fn code(&self, language: &str, path: &[&str]) -> Result<String, PagesError> {
        let path: PathBuf = std::iter::once(self.examples.to_path_buf())
            .chain(path.iter().map(PathBuf::from))
            .collect();
        let text = fs::read_to_string(&path).map_err(|cause| PagesError::Example { path, cause })?;
        let lines = text
            .lines()
            .skip_while(|line| line.contains("SPDX-License-Identifier") || line.trim().is_empty());
        let text = lines.collect::<Vec<_>>().join("\n");
        Ok(format!("```{language}\n{}\n```\n", text.trim_end()))
    }
}

fn front_matter(title: &str, description: &str) -> String {
    let first = description.split("\n\n").next().unwrap_or_default();
    format!(
        "---\npage_title: \"{title}\"\nsubcategory: \"\"\ndescription: |-\n  {}\n---\n\n",
        schema::one_line(first)
    )
}

/// What an import id is made of, in words.
fn imported_by(identity: &ObjectSchema) -> String {
    let required = identity
        .attributes
        .iter()
        .filter(|attribute| attribute.mode == tfplugin::schema::Mode::Required);
    let names: Vec<String> = required.map(|attribute| format!("`{}`", attribute.name)).collect();
    match names.as_slice() {
        [] => "the id of its registry".into(),
        [name] => format!("its {name}"),
        names => format!("its {}, joined by `/`", names.join(" and ")),
    }
}

fn identity_section(identity: &ObjectSchema) -> String {
    let (required, optional): (Vec<_>, Vec<_>) = identity
        .attributes
        .iter()
        .partition(|attribute| attribute.mode == tfplugin::schema::Mode::Required);
    let mut text = String::from("\n### Identity Schema\n");
    for (title, attributes) in [("Required", required), ("Optional", optional)] {
        if !attributes.is_empty() {
            write(&mut text, format_args!("\n#### {title}\n\n"));
            for attribute in attributes {
                text.push_str(&schema::line(attribute, &attribute.name));
            }
        }
    }
    text
}

/// The pages in the folders of this module that nothing makes any more.
fn left_over(out: &Path, pages: &BTreeMap<PathBuf, String>) -> Result<Vec<PathBuf>, PagesError> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        let path = out.join(folder);
        let fail = |cause| PagesError::Page {
            path: path.clone(),
            cause,
        };
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(fail(error)),
        };
        for entry in entries {
            let page = Path::new(folder).join(entry.map_err(fail)?.file_name());
            if !pages.contains_key(&page) {
                found.push(page);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn write(page: &mut String, text: std::fmt::Arguments<'_>) {
    // A string takes whatever is written.
    page.write_fmt(text).ok();
}
