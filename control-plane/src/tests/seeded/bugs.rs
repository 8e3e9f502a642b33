//! Bugs that are planted around the control plane, to see that the oracle finds them. The program itself has none of this.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    /// An answer goes out before what it says is on the disk.
    AnswersBeforeTheCommit,
    /// A poll reads the rows first and then how far the sequence is, and says that the node has seen all of it.
    LooksAtTheHeadLast,
    /// Where a sequence stood when a control plane ended is not known: any cursor counts as one that was given.
    ForgetsWhereItEnded,
}

/// Plants [`Bug::ForgetsWhereItEnded`] into a database.
pub(super) const TRIGGER: &str = "CREATE TRIGGER bug AFTER INSERT ON incarnation_ends BEGIN
    UPDATE incarnation_ends SET last_seq = 1000000 WHERE incarnation = NEW.incarnation AND instance = NEW.instance;
END";
