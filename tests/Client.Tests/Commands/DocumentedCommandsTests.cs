using Fleet.Client.Commands;
using Fleet.Tests;

namespace Fleet.Client.Tests.Commands;

/// <summary>What the documents tell their readers to type is understood.</summary>
[Trait("tier", "fast")]
public sealed class DocumentedCommandsTests
{
    // Method: the real command tree parses each line; nothing is run.
    [Fact]
    public void Every_fleet_command_line_of_the_documents_parses()
    {
        using var writer = new StringWriter();
        var tree = FleetCommand.Create(new Terminal(writer, writer, isInteractive: false));
        var lines = DocumentedCommands.Of(
            RepositoryFolder.Root, "fleet ", "dotnet run --project Client -- ",
            "dotnet Client/bin/Debug/net10.0/fleet.dll ").ToList();

        Assert.True(lines.Count > 100, $"only {lines.Count} lines were found");
        Assert.Equal("", string.Join('\n', lines.Misunderstood(tree)));
    }
}
