namespace Fleet.Mutation;

/// <summary>What is changed at a site.</summary>
internal enum MutantKind
{
    /// <summary>A comparison becomes another one.</summary>
    Relational,

    /// <summary>An arithmetic, bitwise or shift operator becomes another one.</summary>
    Arithmetic,

    /// <summary>And becomes or; a condition or a truth value becomes its opposite.</summary>
    Logical,

    /// <summary>A compound assignment, an increment or a decrement becomes another one.</summary>
    Assignment,

    /// <summary>A statement is left out.</summary>
    Removal,

    /// <summary>Two statements that follow each other, and that may depend on each other, change places.</summary>
    Ordering,
}

/// <summary>One change of one site of the law.</summary>
/// <param name="Id">Number in the order of the source; the switch that makes it active.</param>
/// <param name="Folder">Folder of Kernel that its file stands in.</param>
/// <param name="Place">Type and member: what an explanation names, since lines move.</param>
internal sealed record Mutant(
    int Id, MutantKind Kind, string Folder, string File, int Line, string Place, string Before, string After)
{
    /// <summary>Its text as a report and the table of explanations have it.</summary>
    public string Change => After.Length == 0 ? $"{Before} removed" : $"{Before} → {After}";

    public override string ToString() => $"{File}:{Line} {Place}: {Change}";
}
