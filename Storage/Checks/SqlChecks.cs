using System.Globalization;
using Fleet.Storage.Query;
using Fleet.Storage.Results;

namespace Fleet.Storage.Checks;

/// <summary>What the SQL of one rule found in a stored run.</summary>
/// <param name="Excused">Instances that an unanswered operation, or an incomplete history, could explain.</param>
/// <param name="Examples">Up to three instances of each view of the rule, as <c>object gen seq</c>.</param>
public sealed record SqlRuleResult(string Rule, long Violated, long Excused, IReadOnlyList<string> Examples)
{
    /// <summary>False where the SQL does not read everything that the rule does: a history of finer events than a live
    /// fleet stores, or one that is not quiet at its end. Then it may miss what the rule finds.</summary>
    public bool SeesAll { get; init; } = true;

    /// <summary>The same where records were lost: every violation counts as excused.</summary>
    public SqlRuleResult OfIncomplete => this with { Violated = 0, Excused = Excused + Violated };

    /// <summary>The same in the form that is stored beside the other checkers' counts.</summary>
    public RuleEvidence Evidence => new("sql", Rule, 0, Violated, Excused);
}

/// <summary>The second, independent checker: plain SQL over the stored history.</summary>
/// <remarks>Its views stand in <c>Checks/</c>; both stores have them, and so have analysts.</remarks>
public static class SqlChecks
{
    private static readonly (string Rule, string View, bool NeedsQuiescence)[] Rules =
    [
        ("NO-USE-AFTER-REMOVE", "c_use_after_remove", false),
        ("NO-USE-AFTER-REMOVE", "c_pin_used_after_remove", false),
        ("REAP-BEFORE-REMOVE", "c_removed_while_referenced", false),
        ("REAP-BEFORE-REMOVE", "c_removed_while_pinned", false),
        ("NO-OVERLAP", "c_overlaps", false),
        ("UNBIND-LIVE", "c_stuck_unbinds", true),
        ("NO-LEAK", "c_leaks", true),
        ("EXACTLY-ONCE", "c_devres_twice", false),
        ("ONE-INCARNATION", "c_two_incarnations", false),
    ];

    /// <summary>Explorations, simulations and kernel traces tell an allocation or an access by events of its steps; the
    /// SQL reads the operation that a live fleet's client stored instead.</summary>
    private const string FinerEvents =
        "SELECT 1 FROM k_events WHERE what IN ('alloc_begin', 'alloc_end', 'free_begin', 'free_end', 'cpu_access', "
        + "'dma_access', 'io_access', 'bits_set', 'bits_clear', 'chunk_try', 'ref_get', 'ref_put', 'ref_tryget_live') "
        + "LIMIT 1";

    /// <summary>Names of the rules that the SQL states.</summary>
    public static IReadOnlyList<string> RuleNames { get; } = [.. Rules.Select(r => r.Rule).Distinct()];

    /// <param name="isComplete">No record was lost; else every violation counts as excused.</param>
    /// <param name="isQuiescent">Only waits remained at the end; else leaks and stuck unbinds are not judged.</param>
    /// <exception cref="StorageException">The checks took longer than the limits allow.</exception>
    public static async Task<IReadOnlyList<SqlRuleResult>> RunAsync(
        IRunReader reader, bool isComplete, bool isQuiescent, SqlLimits limits, CancellationToken ct)
    {
        var results = new List<SqlRuleResult>();
        var isFiner = (await reader.QueryAsync(FinerEvents, limits, ct)).Rows.Count > 0;
        foreach (var (rule, view, needsQuiescence) in Rules)
        {
            if (needsQuiescence && !isQuiescent)
            {
                results.Add(new SqlRuleResult(rule, 0, 0, []) { SeesAll = false });
                continue;
            }

            // One scan: the counts, and the first instances of each verdict.
            var table = await reader.QueryAsync(
                "SELECT c.verdict, c.n, o.name, c.gen, c.seq FROM ("
                + "SELECT verdict, obj, gen, seq, count(*) OVER (PARTITION BY verdict) AS n, "
                + $"row_number() OVER (PARTITION BY verdict ORDER BY obj, gen, seq) AS i FROM {view}) AS c "
                + "LEFT JOIN run_objects o ON o.id = c.obj WHERE c.i <= 3 ORDER BY c.verdict DESC, c.i",
                limits, ct);
            var (violated, excused) = (Count(table, "violated"), Count(table, "excused"));
            var result = new SqlRuleResult(
                rule, violated, excused,
                [.. table.Rows.Select(r => string.Create(CultureInfo.InvariantCulture, $"{r[2]} {r[3]} {r[4]}"))]);
            results.Add(isComplete ? result : result.OfIncomplete);
        }

        return [.. results.GroupBy(result => result.Rule).Select(rule => new SqlRuleResult(
            rule.Key, rule.Sum(view => view.Violated), rule.Sum(view => view.Excused),
            [.. rule.SelectMany(view => view.Examples)])
        {
            SeesAll = !isFiner && rule.All(view => view.SeesAll),
        })];
    }

    /// <summary>Compares with the rules' own counts; each difference is a defect of Fleet (exit 70).</summary>
    /// <param name="rules">Counts of the C# rules over the same stored history.</param>
    /// <returns>One sentence for each rule that the two decide differently.</returns>
    public static IReadOnlyList<string> Disagreements(
        IReadOnlyList<SqlRuleResult> sql, IReadOnlyList<RuleEvidence> rules)
    {
        var sentences = new List<string>();
        foreach (var result in sql)
        {
            var counts = rules.Where(r => r.Rule == result.Rule).ToList();
            var (violated, undecided) = (counts.Sum(c => c.Violated), counts.Sum(c => c.Undecided));
            if (result.Violated > 0 && violated == 0 && undecided == 0)
            {
                sentences.Add(
                    $"{result.Rule}: the SQL check finds {result.Violated} (first at {result.Examples[0]}), "
                    + "the rule finds none.");
            }
            else if (violated > 0 && result is { Violated: 0, Excused: 0, SeesAll: true })
            {
                sentences.Add($"{result.Rule}: the rule finds {violated}, the SQL check finds none.");
            }
        }

        return sentences;
    }

    private static long Count(SqlTable table, string verdict) =>
        table.Rows.Where(r => (string?)r[0] == verdict).Select(r => (long)r[1]!).FirstOrDefault();
}
