using System.Collections.Immutable;
using System.Globalization;
using static System.FormattableString;

namespace Fleet.Client.Scenarios;

/// <summary>Takes the keys of one map, and refuses what nobody took.</summary>
/// <remarks>Every refusal names the place and what would be accepted, so that a scenario is corrected without its
/// reference.</remarks>
public sealed class MapReader
{
    private readonly ScenarioMap _map;
    private readonly string _path;
    private readonly HashSet<string> _known = new(StringComparer.Ordinal);

    /// <param name="path">The keys above, as <c>--set</c> writes them; empty at the top.</param>
    public MapReader(ScenarioNode node, string path)
    {
        _map = node as ScenarioMap ?? throw node.At.Error(
            $"{(path.Length == 0 ? "the file" : path)} is not a map", "keys with values");
        _path = path;
    }

    public ScenarioLocation At => _map.At;

    public string PathOf(string key) => _path.Length == 0 ? key : $"{_path}.{key}";

    /// <summary>The value of a key; null where it is absent or null.</summary>
    public ScenarioNode? Take(string key)
    {
        _known.Add(key);
        return _map.Entries.TryGetValue(
            key, out var entry) && entry.Value is not ScenarioScalar { IsNull: true } ? entry.Value : null;
    }

    public ScenarioNode Require(string key, string accepted) =>
        Take(key) ?? throw At.Error($"{PathOf(key)} is missing", accepted);

    public MapReader? TakeMap(string key) => Take(key) is { } node ? new MapReader(node, PathOf(key)) : null;

    public IReadOnlyList<ScenarioNode> TakeList(string key) => Take(key) switch
    {
        null => [],
        ScenarioList list => list.Items,
        var node => throw node.At.Error($"{PathOf(key)} is not a list", "a list: [ … ], or lines that begin with '- '"),
    };

    public string? TakeText(string key, int lengthMax = 200) =>
        Take(key) is { } node ? Text(node, PathOf(key), lengthMax) : null;

    public int TakeInt(string key, int absent, int min, int max) =>
        Take(key) is { } node ? (int)Whole(node, PathOf(key), min, max) : absent;

    public int? TakeInt(string key, int min, int max) =>
        Take(key) is { } node ? (int)Whole(node, PathOf(key), min, max) : null;

    public long? TakeLong(string key, long min, long max) =>
        Take(key) is { } node ? Whole(node, PathOf(key), min, max) : null;

    public double? TakeNumber(string key, double min, double max) =>
        Take(key) is { } node ? Number(node, PathOf(key), min, max) : null;

    public TimeSpan? TakeDuration(string key) => Take(key) is { } node ? Duration(node, PathOf(key)) : null;

    public long? TakeSize(string key, long min, long max) =>
        Take(key) is { } node ? Size(node, PathOf(key), min, max) : null;

    public bool TakeYesNo(string key, bool absent)
    {
        const string accepted = "true or false";
        if (Take(key) is not { } node)
            return absent;

        return node switch
        {
            ScenarioScalar { IsPlain: true, Text: "true" } => true,
            ScenarioScalar { IsPlain: true, Text: "false" } => false,
            _ => throw node.At.Error($"{PathOf(key)} is {Describe(node)}", accepted),
        };
    }

    public T TakeWord<T>(string key, T absent, params ReadOnlySpan<(string Word, T Value)> words) =>
        Take(key) is { } node ? Word(node, PathOf(key), words) : absent;

    /// <summary>A map of words to weights; only their proportions count.</summary>
    public ImmutableArray<Weighted<T>>? TakeWeights<T>(string key, Func<ScenarioLocation, string, T> read)
    {
        if (Take(key) is not { } node)
            return null;

        var map = node as ScenarioMap ?? throw node.At.Error($"{PathOf(key)} is not a map", "names with weights");
        var weights = map.Entries.Select(entry => new Weighted<T>(
            read(entry.Value.KeyAt, entry.Key), Number(entry.Value.Value, $"{PathOf(key)}.{entry.Key}", 0, 1e9)));
        var kept = weights.Where(weight => weight.Weight > 0).ToImmutableArray();
        return kept.IsEmpty ? throw node.At.Error($"{PathOf(key)} has no weight above zero", "at least one") : kept;
    }

    /// <summary>Refuses the keys that were not taken. Called once, after the last take.</summary>
    public void End()
    {
        foreach (var (key, entry) in _map.Entries)
        {
            if (!_known.Contains(key))
                throw entry.KeyAt.Error(
                    $"unknown key {ForeignText.Quote(PathOf(key))}", string.Join(
                        ", ", _known.Order(StringComparer.Ordinal)));
        }
    }

    public static string Text(ScenarioNode node, string path, int lengthMax = 200)
    {
        if (node is not ScenarioScalar scalar)
            throw node.At.Error($"{path} is {Describe(node)}", "a text");

        return scalar.Text.Length <= lengthMax
            ? ForeignText.Clean(scalar.Text, lengthMax)
            : throw node.At.Error($"{path} has {scalar.Text.Length} characters", $"at most {lengthMax}");
    }

    public static T Word<T>(ScenarioNode node, string path, params ReadOnlySpan<(string Word, T Value)> words)
    {
        foreach (var (word, value) in words)
        {
            if (node is ScenarioScalar scalar && scalar.Text == word)
                return value;
        }

        var accepted = new List<string>();
        foreach (var (word, _) in words)
            accepted.Add(word);
        throw node.At.Error($"{path} is {Describe(node)}", string.Join(", ", accepted));
    }

    public static long Whole(ScenarioNode node, string path, long min, long max) =>
        node is ScenarioScalar { IsPlain: true } scalar
        && long.TryParse(scalar.Text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value)
        && value >= min && value <= max
            ? value
            : throw node.At.Error($"{path} is {Describe(node)}", Invariant($"a whole number from {min} to {max}"));

    public static double Number(ScenarioNode node, string path, double min, double max) =>
        node is ScenarioScalar { IsPlain: true } scalar
        && double.TryParse(
            scalar.Text, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent,
            CultureInfo.InvariantCulture, out var value)
        && value >= min && value <= max
            ? value
            : throw node.At.Error($"{path} is {Describe(node)}", Invariant($"a number from {min} to {max}"));

    public static TimeSpan Duration(ScenarioNode node, string path) =>
        node is ScenarioScalar scalar && Quantity.TryParseDuration(scalar.Text, out var duration)
            ? duration
            : throw node.At.Error($"{path} is {Describe(node)}", Quantity.DurationForm);

    public static long Size(ScenarioNode node, string path, long min, long max)
    {
        if (node is not ScenarioScalar scalar || !Quantity.TryParseSize(scalar.Text, out var size))
            throw node.At.Error($"{path} is {Describe(node)}", Quantity.SizeForm);

        return size >= min && size <= max
            ? size
            : throw node.At.Error($"{path} is {Describe(node)}", Invariant($"{min} to {max} bytes"));
    }

    public static string Describe(ScenarioNode node) => node switch
    {
        ScenarioScalar scalar => ForeignText.Quote(scalar.Text),
        ScenarioList => "a list",
        _ => "a map",
    };
}
