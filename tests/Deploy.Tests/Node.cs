using YamlDotNet.Core;
using YamlDotNet.Core.Events;
using YamlDotNet.Serialization;

namespace Fleet.Deploy.Tests;

/// <summary>A value of a YAML file with merges done: a map, a list or a text.</summary>
internal sealed class Node(object? value)
{
    public bool IsMissing => value is null;

    public string Text => value as string ?? "";

    public IReadOnlyList<Node> Items => value is List<object?> list ? [.. list.Select(one => new Node(one))] : [];

    public IReadOnlyDictionary<string, Node> Entries => value is Dictionary<object, object?> map
        ? map.ToDictionary(pair => (string)pair.Key, pair => new Node(pair.Value), StringComparer.Ordinal)
        : new Dictionary<string, Node>();

    /// <summary>The value at a path of names, missing where there is none.</summary>
    public Node this[params string[] path] =>
        path.Aggregate(this, (node, name) => node.Entries.GetValueOrDefault(name) ?? new Node(null));

    /// <summary>This and everything below, depth first, with the names that lead to it.</summary>
    public IEnumerable<(string Path, Node Node)> Everything(string path = "") =>
    [
        (path, this),
        .. Entries.SelectMany(pair => pair.Value.Everything($"{path}/{pair.Key}")),
        .. Items.SelectMany((item, place) => item.Everything($"{path}/{place}")),
    ];

    /// <summary>The documents of a file.</summary>
    public static IReadOnlyList<Node> Read(string path)
    {
        var documents = new List<Node>();
        using var text = new StreamReader(path);
        var parser = new MergingParser(new Parser(text));
        var reader = new DeserializerBuilder().Build();
        parser.Consume<StreamStart>();
        while (parser.Accept<DocumentStart>(out _))
        {
            documents.Add(new(reader.Deserialize(parser)));
        }

        return documents;
    }
}
