//! Tables for people: columns as wide as their widest cell, two blanks between them.

use std::fmt;

/// Rows below a header.
#[derive(Debug)]
pub struct Table {
    header: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(header: &'static [&'static str]) -> Self {
        Self {
            header,
            rows: Vec::new(),
        }
    }

    /// Adds a row; an empty cell is shown as `-`.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        let shown = |cell: String| {
            // One row is one line, whatever somebody called a container.
            let line = cell.replace(char::is_control, " ");
            if line.is_empty() { "-".to_owned() } else { line }
        };
        self.rows.push(cells.into_iter().map(shown).collect());
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        widest.max(self.header.get(column).map_or(0, |title| title.len()))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = self.header.iter().map(|title| (*title).to_owned()).collect();
        for (number, row) in std::iter::once(&header).chain(&self.rows).enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                line.push_str(&format!("{cell:<width$}  ", width = self.width(column)));
            }
            f.write_str(line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_trails() {
        let mut table = Table::new(&["TASK", "STATUS", "WHY"]);
        table.row(["a".into(), "PENDING".into(), String::new()]);
        table.row(["länger".into(), "RUN\nNING".into(), "x y".into()]);
        assert_eq!(
            table.to_string(),
            "TASK    STATUS    WHY\n\
             a       PENDING   -\n\
             länger  RUN NING  x y"
        );
    }

    #[test]
    fn an_empty_table_is_its_header() {
        assert_eq!(Table::new(&["A", "B"]).to_string(), "A  B");
    }
}
