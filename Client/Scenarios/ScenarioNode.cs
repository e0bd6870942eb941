using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Fleet.Client.Scenarios;

/// <summary>Where a value of a scenario was written: a file's line, or the option that set it.</summary>
public readonly record struct ScenarioLocation(string Source, int Line, int Column)
{
    public UsageException Error(string what, string accepted) => Line == 0
        ? new($"{Source}: {what}; accepted: {accepted}.")
        : UsageException.At(Source, Line, Column, what, accepted);
}

/// <summary>One value of a YAML file that remembers where it stood.</summary>
/// <remarks>
/// Built from the parser's events with a bound on depth, so that no file, however nested, exhausts the stack. Anchors,
/// aliases and
/// tags are refused: a scenario says each thing once, and <c>include:</c> is the only way to share.
/// </remarks>
public abstract record ScenarioNode(ScenarioLocation At)
{
    private const int DepthMax = 16;
    private const int BytesMax = 1024 * 1024;

    /// <exception cref="UsageException">It is not one YAML document of maps, lists and plain values.</exception>
    public static ScenarioNode Parse(string text, string source, bool fromOption = false)
    {
        ScenarioLocation Locate(Mark mark) =>
            fromOption ? new(source, 0, 0) : new(source, (int)mark.Line, (int)mark.Column);

        if (text.Length > BytesMax)
            throw new UsageException(
                $"{source} is longer than {BytesMax >> 20} MiB; accepted: a scenario or fault file.");

        try
        {
            var parser = new Parser(new StringReader(text));
            parser.Consume<StreamStart>();
            if (parser.Accept<StreamEnd>(out _))
                throw new UsageException($"{source} is empty; accepted: a YAML map.");

            parser.Consume<DocumentStart>();
            var root = ReadNode(parser, Locate, 0);
            parser.Consume<DocumentEnd>();
            return parser.Accept<StreamEnd>(out var end)
                ? root
                : throw Locate(parser.Current!.Start).Error("a second document begins", "one document in a file");
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentException or IndexOutOfRangeException)
        {
            // The scanner loses its place on some damaged texts instead of reporting them.
            throw new UsageException(
                $"{source} is not YAML; accepted: a YAML map as in loadtests/scenarios/smoke.yaml.", e);
        }
        catch (YamlException e)
        {
            throw Locate(e.Start).Error(
                $"not YAML ({ForeignText.Clean(e.Message)})", "a YAML map as in loadtests/scenarios/smoke.yaml");
        }
    }

    private static ScenarioNode ReadNode(Parser parser, Func<Mark, ScenarioLocation> locate, int depth)
    {
        var next = parser.Current ?? throw new UsageException(
            "The YAML text ends too early; accepted: a complete document.");
        var at = locate(next.Start);
        if (depth > DepthMax)
            throw at.Error("nested too deeply", $"at most {DepthMax} levels");

        if (next is NodeEvent { Anchor.IsEmpty: false } or AnchorAlias)
            throw at.Error("anchors and aliases are not read", "the value itself, or 'include: FILE'");

        if (next is NodeEvent { Tag: { IsEmpty: false, IsNonSpecific: false } })
            throw at.Error("tags are not read", "plain values");

        if (parser.TryConsume<Scalar>(out var scalar))
            return new ScenarioScalar(at, scalar.Value, scalar.Style is ScalarStyle.Plain);

        if (parser.TryConsume<SequenceStart>(out _))
        {
            var items = new List<ScenarioNode>();
            while (!parser.TryConsume<SequenceEnd>(out _))
                items.Add(ReadNode(parser, locate, depth + 1));
            return new ScenarioList(at, items);
        }

        parser.Consume<MappingStart>();
        var entries = new Dictionary<string, ScenarioEntry>(StringComparer.Ordinal);
        while (!parser.TryConsume<MappingEnd>(out _))
        {
            if (ReadNode(parser, locate, depth + 1) is not ScenarioScalar key)
                throw at.Error("a key that is a map or a list", "a name");

            if (!entries.TryAdd(key.Text, new(key.At, ReadNode(parser, locate, depth + 1))))
                throw key.At.Error($"{ForeignText.Quote(key.Text)} is given twice", "each key once");
        }

        return new ScenarioMap(at, entries);
    }
}

/// <param name="IsPlain">Not quoted: only a plain value can be a number, a yes or a null.</param>
public sealed record ScenarioScalar(ScenarioLocation At, string Text, bool IsPlain) : ScenarioNode(At)
{
    public bool IsNull => IsPlain && Text is "" or "~" or "null";
}

public sealed record ScenarioList(ScenarioLocation At, IReadOnlyList<ScenarioNode> Items) : ScenarioNode(At);

public readonly record struct ScenarioEntry(ScenarioLocation KeyAt, ScenarioNode Value);

public sealed record ScenarioMap(
    ScenarioLocation At, IReadOnlyDictionary<string, ScenarioEntry> Entries) : ScenarioNode(At)
{
    /// <summary>Lays this map over another: maps merge key by key, everything else replaces what is
    /// underneath.</summary>
    /// <remarks>A map whose <c>kind</c> differs replaces as a whole: the other kind's keys would not be known to
    /// it.</remarks>
    public ScenarioMap Over(ScenarioMap under)
    {
        if (KindOf(this) is { } kind && KindOf(under) is { } kindUnder && kind != kindUnder)
            return this;

        var merged = new Dictionary<string, ScenarioEntry>(under.Entries, StringComparer.Ordinal);
        foreach (var (key, entry) in Entries)
        {
            merged[key] = entry.Value is ScenarioMap map && merged.TryGetValue(
                key, out var old) && old.Value is ScenarioMap mapUnder
                ? entry with { Value = map.Over(mapUnder) }
                : entry;
        }

        return new(At, merged);
    }

    private static string? KindOf(ScenarioMap map) =>
        map.Entries.TryGetValue("kind", out var entry) && entry.Value is ScenarioScalar scalar ? scalar.Text : null;
}
