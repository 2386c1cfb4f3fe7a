/// What "near" means: the distance that an operator of the SQL contract stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// `<->`: Euclidean distance.
    L2,
    /// `<#>`: the inner product, negated so that the smallest is nearest.
    InnerProduct,
    /// `<=>`: one minus the cosine of the angle.
    Cosine,
    /// `<+>`: taxicab distance.
    L1,
    /// `<~>`: the number of bits that differ.
    Hamming,
    /// `<%>`: one minus shared set bits over all set bits.
    Jaccard,
}

impl Metric {
    /// Every metric, in the order of the enum.
    pub const ALL: [Metric; 6] = [
        Metric::L2,
        Metric::InnerProduct,
        Metric::Cosine,
        Metric::L1,
        Metric::Hamming,
        Metric::Jaccard,
    ];

    /// The operator's SQL spelling.
    pub fn operator(self) -> &'static str {
        match self {
            Metric::L2 => "<->",
            Metric::InnerProduct => "<#>",
            Metric::Cosine => "<=>",
            Metric::L1 => "<+>",
            Metric::Hamming => "<~>",
            Metric::Jaccard => "<%>",
        }
    }
}
