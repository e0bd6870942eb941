using System.Collections.Frozen;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Fleet.Kernel.Vectors;

/// <summary>What a replay of one recording showed.</summary>
public enum VectorVerdict : byte
{
    /// <summary>Every recorded result was reproduced.</summary>
    Agrees,

    /// <summary>One was not; later operations depend on it and were not tried.</summary>
    Differs,

    /// <summary>The text is not a recording that can be replayed.</summary>
    Skipped,
}

/// <summary>The first result that differs.</summary>
/// <param name="Operation">Number of the operation, from 1; its line is this plus 1.</param>
/// <param name="Name">The operation's own name.</param>
/// <param name="Field">Name of the result.</param>
/// <param name="Expected">As recorded, as JSON; "absent" where none was.</param>
/// <param name="Got">As replayed, as JSON; "absent" where there is none.</param>
public sealed record VectorDifference(int Operation, string Name, string Field, string Expected, string Got);

/// <summary>Outcome of one recording.</summary>
/// <param name="Name">From the header; empty when it could not be read.</param>
/// <param name="Operations">Operations that agreed.</param>
/// <param name="Difference">Set exactly when <paramref name="Verdict"/> is <see cref="VectorVerdict.Differs"/>.</param>
/// <param name="Reason">Set exactly when <paramref name="Verdict"/> is <see cref="VectorVerdict.Skipped"/>: one
/// sentence.</param>
public sealed record VectorResult(
    VectorVerdict Verdict, string Name, int Operations, VectorDifference? Difference = null, string? Reason = null);

/// <summary>Replays recorded behaviour of the real kernel code on the primitives and compares every result.</summary>
/// <remarks>
/// Internal state (<c>st</c>), dumps and warnings are compared too; a warning, event or BUG of ours that was not
/// recorded is a difference. Pure: the caller reads the file. Source: the form of the recordings is described beside
/// them, in vectors/README.md.
/// </remarks>
public static class VectorReplay
{
    private static readonly FrozenSet<string> Inputs = FrozenSet.Create(
        StringComparer.Ordinal,
        "op", "virt", "phys", "size", "nid", "algo", "align", "offset", "addr", "start",
        "fn", "data", "fail", "id", "rel", "val", "match", "flags", "cpu", "nr", "confirm");

    /// <summary>Results whose absence from a line is a statement too.</summary>
    private static readonly FrozenSet<string> Loud =
        FrozenSet.Create(StringComparer.Ordinal, "warn", "bug", "ev", "blocked");

    /// <summary>Replays one recording.</summary>
    /// <param name="lines">Header first, then one operation a line; blank lines are passed over.</param>
    public static VectorResult Replay(IEnumerable<string> lines)
    {
        var (name, done) = ("", 0);
        try
        {
            IVectorSubject? subject = null;
            foreach (var line in lines.Where(line => !string.IsNullOrWhiteSpace(line)))
            {
                if (JsonNode.Parse(line) is not JsonObject record)
                {
                    return Skip($"{(subject is null ? "The header" : $"Operation {done + 1}")} is not a JSON object.");
                }

                if (subject is null)
                {
                    name = (string?)record["name"] ?? "";
                    subject = SubjectOf(record);
                    if (subject is null)
                    {
                        return Skip("The header names no known kind: genalloc, devres or percpu_ref.");
                    }

                    continue;
                }

                var got = new JsonObject();
                if (!subject.Execute((string?)record["op"] ?? "", record, got))
                {
                    return Skip($"Operation {done + 1} is not known for this kind: \"{(string?)record["op"]}\".");
                }

                if (FirstDifference(done + 1, record, got) is { } difference)
                {
                    return new(VectorVerdict.Differs, name, done, difference);
                }

                done++;
            }

            return subject is null ? Skip("There is no header.") : new(VectorVerdict.Agrees, name, done);
        }
        catch (Exception e) when (e is JsonException or FormatException or InvalidOperationException)
        {
            return Skip($"After {done} operations a line is not in the form of a recording: {e.Message}");
        }

        VectorResult Skip(string reason) => new(VectorVerdict.Skipped, name, done, Reason: reason);
    }

    private static IVectorSubject? SubjectOf(JsonObject header) => (string?)header["kind"] switch
    {
        "genalloc" => new GenallocVector(header),
        "devres" => new DevresVector(header),
        "percpu_ref" => new PercpuRefVector(header),
        _ => null,
    };

    private static VectorDifference? FirstDifference(int number, JsonObject recorded, JsonObject got)
    {
        var operation = (string?)recorded["op"] ?? "";
        foreach (var (field, expected) in recorded)
        {
            if (Inputs.Contains(field) || (field == "owner" && operation == "add_owner"))
            {
                continue;
            }

            if (!got.TryGetPropertyValue(field, out var value) || !JsonNode.DeepEquals(expected, value))
            {
                return new(number, operation, field, Text(expected), got.ContainsKey(field) ? Text(value) : "absent");
            }
        }

        foreach (var (field, value) in got)
        {
            if (Loud.Contains(field) && !recorded.ContainsKey(field))
            {
                return new(number, operation, field, "absent", Text(value));
            }
        }

        return null;
    }

    private static string Text(JsonNode? node) => node?.ToJsonString() ?? "null";
}

/// <summary>One object under test.</summary>
internal interface IVectorSubject
{
    /// <summary>Executes one operation.</summary>
    /// <param name="got">Takes the results; warnings, events and the like only when there are any.</param>
    /// <returns>False when the operation is not known.</returns>
    bool Execute(string operation, JsonObject record, JsonObject got);
}
