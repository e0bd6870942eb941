using Fleet.LoadTests.Measuring;
using Fleet.Tests;

namespace Fleet.LoadTests.Tests;

/// <summary>What the documents tell their readers to measure can be measured.</summary>
[Trait("tier", "fast")]
public sealed class DocumentedCommandsTests
{
    // Method: the real command tree parses each line, and each benchmark is looked up; nothing is run.
    [Fact]
    public void Every_benchmark_of_the_documents_is_one()
    {
        var tree = Program.Create();
        const string project = "dotnet run -c Release --project loadtests -- ";
        var lines = DocumentedCommands.Of(RepositoryFolder.Root, project, "loadtests -- ")
            .Concat(DocumentedCommands.Of(RepositoryFolder.Root, "bench ")
                .Select(line => (line.Where, (string[])["bench", .. line.Words], line.IsWhole)))
            .Select(line => (line.Where, Words: line.Item2, line.IsWhole)).ToList();

        Assert.True(lines.Count > 30, $"only {lines.Count} lines were found");
        Assert.Equal("", string.Join('\n', lines.Misunderstood(tree)));
        var names = lines.Where(line => line.Words[0] == "bench")
            .SelectMany(line => tree.Parse(line.Words).GetValue<string[]>("NAME") ?? [])
            .Where(name => name != "NAME").Distinct().ToList();
        Assert.NotEmpty(BenchmarkList.Named(names));
    }
}
