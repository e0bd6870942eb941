using System.Reflection;
using System.Text;

namespace Fleet.Client.Scenarios;

/// <summary>What the command line lays over a scenario file.</summary>
/// <param name="Path">Keys from the top, joined by dots; a number chooses an element of a list, counted from 0.</param>
/// <param name="Option">The option as it was written, named in errors.</param>
public sealed record ScenarioOverride(string Path, string Value, string Option)
{
    /// <exception cref="UsageException">No <c>=</c>, or nothing before it.</exception>
    public static ScenarioOverride Parse(string text)
    {
        var equals = text.IndexOf('=');
        return equals > 0
            ? new(text[..equals], text[(equals + 1)..], $"--set {ForeignText.Clean(text, 120)}")
            : throw new UsageException(
                $"--set {ForeignText.Quote(text)} names no value; accepted: --set PATH=VALUE, for example --set "
                + $"load.clients=128.");
    }
}

/// <summary>Finds, reads and merges scenario and fault files.</summary>
public static class ScenarioFile
{
    public const string Default = "smoke";

    private const string Folder = "loadtests/scenarios";
    private const string ResourcePrefix = "Fleet.Client.scenarios.";
    private const int IncludesMax = 8;
    private const int BytesMax = 1024 * 1024;

    /// <summary>Scenarios and fault plans that come with the program, by name.</summary>
    public static IReadOnlyList<string> Shipped { get; } =
    [
        .. typeof(ScenarioFile).Assembly.GetManifestResourceNames()
            .Where(name => name.StartsWith(ResourcePrefix, StringComparison.Ordinal))
            .Select(name => name[ResourcePrefix.Length..^".yaml".Length])
            .Order(StringComparer.Ordinal),
    ];

    /// <param name="nameOrPath">A path, or the name of a shipped file.</param>
    /// <exception cref="UsageException">It is not there, not readable, or not what scenario-format.md
    /// describes.</exception>
    public static Scenario ReadScenario(string nameOrPath, IReadOnlyList<ScenarioOverride> overrides) =>
        ScenarioReader.ReadScenario(overrides.Aggregate((ScenarioNode)ReadMap(nameOrPath, 0), Apply));

    /// <summary>Reads a fault plan: a file with <c>name</c> and <c>faults</c>.</summary>
    public static FaultPlan ReadFaultPlan(string nameOrPath) => ScenarioReader.ReadFaultPlan(ReadMap(nameOrPath, 0));

    /// <summary>True where the file is a fault plan (no load), so that a listing can tell the two apart.</summary>
    public static bool IsFaultPlan(string nameOrPath)
    {
        var map = ReadMap(nameOrPath, 0);
        return map.Entries.ContainsKey("faults") && !map.Entries.ContainsKey("load") && !map.Entries.ContainsKey(
            "fleet");
    }

    /// <summary>The text as it is written, for showing.</summary>
    public static string ReadText(string nameOrPath) => Open(nameOrPath, null).Text;

    private static ScenarioMap ReadMap(string nameOrPath, int depth, string? includedFrom = null)
    {
        if (depth > IncludesMax)
            throw new UsageException(
                $"{includedFrom} includes itself, or more than {IncludesMax} files in a row; accepted: at most "
                + $"{IncludesMax}.");

        var (source, text) = Open(nameOrPath, includedFrom);
        var node = ScenarioNode.Parse(text, source);
        var map = node as ScenarioMap ?? throw node.At.Error(
            "the file is not a map", "keys with values, as in smoke.yaml");
        if (!map.Entries.TryGetValue("include", out var include))
            return map;

        var under = ReadMap(MapReader.Text(include.Value, "include", 1000), depth + 1, source);
        var own = new Dictionary<string, ScenarioEntry>(map.Entries, StringComparer.Ordinal);
        own.Remove("include");
        return (map with { Entries = own }).Over(under);
    }

    private static (string Source, string Text) Open(string nameOrPath, string? includedFrom)
    {
        var path = includedFrom is not null && Path.GetDirectoryName(
            includedFrom) is { Length: > 0 } beside && !Path.IsPathRooted(nameOrPath)
            ? Path.Combine(beside, nameOrPath)
            : nameOrPath;
        var named = Path.Combine(Folder, $"{nameOrPath}.yaml");
        try
        {
            if (File.Exists(path))
                return (path, ReadBounded(path));

            if (IsName(nameOrPath) && File.Exists(named))
                return (named, ReadBounded(named));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or DecoderFallbackException)
        {
            throw new UsageException(
                $"{ForeignText.Quote(path)} cannot be read ({ForeignText.Clean(e.Message)}); accepted: a readable "
                + $"YAML file.", e);
        }

        var name = nameOrPath.EndsWith(
            ".yaml", StringComparison.Ordinal) && includedFrom is not null ? nameOrPath[..^5] : nameOrPath;
        if (Shipped.Contains(name))
        {
            using var stream = Assembly.GetExecutingAssembly().GetManifestResourceStream(
                $"{ResourcePrefix}{name}.yaml")!;
            using var reader = new StreamReader(stream);
            return ($"{name}.yaml", reader.ReadToEnd());
        }

        throw new UsageException(
            $"There is no scenario {ForeignText.Quote(nameOrPath)}; accepted: the path of a YAML file, or one of "
            + $"{string.Join(", ", Shipped)}.");
    }

    private static string ReadBounded(string path) => new FileInfo(path).Length <= BytesMax
        ? File.ReadAllText(path, new UTF8Encoding(false, throwOnInvalidBytes: true))
        : throw new UsageException($"{path} is larger than {BytesMax >> 20} MiB; accepted: a scenario or fault file.");

    private static bool IsName(string text) =>
        text.Length is > 0 and <= 64 && text.All(
            character => char.IsAsciiLetterOrDigit(character) || character is '-' or '_');

    private static ScenarioNode Apply(ScenarioNode root, ScenarioOverride change)
    {
        var value = ScenarioNode.Parse(change.Value.Length == 0 ? "''" : change.Value, change.Option, fromOption: true);
        return Replace(root, change.Path.Split('.'), value, change);
    }

    private static ScenarioNode Replace(
        ScenarioNode node, ReadOnlySpan<string> path, ScenarioNode value, ScenarioOverride change)
    {
        if (path.IsEmpty)
            return value;

        var at = value.At;
        var key = path[0];
        if (key.Length == 0)
            throw at.Error("an empty key in the path", "keys joined by dots, for example load.clients");

        if (node is ScenarioList list)
        {
            if (!int.TryParse(
                key, System.Globalization.NumberStyles.None, null, out var index) || index >= list.Items.Count)
                throw at.Error($"{ForeignText.Quote(key)} is no element of the list", $"0 to {list.Items.Count - 1}");

            var items = list.Items.ToArray();
            items[index] = Replace(items[index], path[1..], value, change);
            return list with { Items = items };
        }

        var map = node as ScenarioMap ?? new ScenarioMap(at, new Dictionary<string, ScenarioEntry>());
        var entries = new Dictionary<string, ScenarioEntry>(map.Entries, StringComparer.Ordinal);
        var under = entries.TryGetValue(key, out var old) ? old.Value : new ScenarioMap(
            at, new Dictionary<string, ScenarioEntry>());
        entries[key] = new(at, Replace(under, path[1..], value, change));
        return map with { Entries = entries };
    }
}
