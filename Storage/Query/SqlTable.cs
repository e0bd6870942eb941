namespace Fleet.Storage.Query;

/// <summary>How much one query may take.</summary>
/// <param name="RowsMax">Rows returned; a longer result is cut and says so.</param>
public readonly record struct SqlLimits(TimeSpan TimeMax, int RowsMax)
{
    public static SqlLimits Default => new(TimeSpan.FromSeconds(30), 10_000);
}

/// <summary>One column of an answer.</summary>
/// <param name="Type">Name of the type in the words of the store.</param>
public readonly record struct SqlColumn(string Name, string Type);

/// <summary>The answer to one query.</summary>
/// <param name="Rows">Values are null, bool, long, double, decimal, string or DateTime (UTC).</param>
/// <param name="IsCut">There were more rows than the limit.</param>
public sealed record SqlTable(IReadOnlyList<SqlColumn> Columns, IReadOnlyList<object?[]> Rows, bool IsCut);
