using Fleet.Client.Commands;

namespace Fleet.Client.Tests.Commands;

[Trait("tier", "fast")]
public sealed class ProfileDiffTests
{
    // Goal: the page's headline: patch 6 moves the removal behind the wait and the exit.
    [Fact]
    public async Task The_last_patch_moves_the_removal_behind_the_wait()
    {
        var lines = await DiffAsync("P5", "ALL");

        Assert.Contains("patch 6: \"mm/devm_memremap_pages: Fix final page put race\"", lines);
        Assert.Contains(lines, line => line.TrimStart().StartsWith("ALL only  devm_memremap_pages_release  ", default));
        var from = lines.IndexOf("    PutPage");
        Assert.Equal(
            [
                "  - MemoryRemove", "  - MapErase", "  - Synchronize", "    SwitchCallback (rcu)", "    WaitReaped",
                "    RefExit", "  + MemoryRemove", "  + MapErase", "  + Synchronize",
            ],
            lines.GetRange(from + 1, 9));
        Assert.Contains("P5: ends; breaks REAP-BEFORE-REMOVE.", lines);
        Assert.Contains("ALL: ends, no rule broken.", lines);
    }

    [Fact]
    public async Task The_first_version_dies_where_it_reads_the_cleared_field()
    {
        var lines = await DiffAsync("V1", "all");

        Assert.Contains("  - FieldUse", lines);
        Assert.Contains(lines, line => line.StartsWith("V1: dies (null-deref: pci_p2pdma_release ", default));
    }

    [Fact]
    public async Task An_alias_says_what_it_is_and_the_same_kernel_takes_the_same_steps()
    {
        var lines = await DiffAsync("ALL", "v5.2");

        Assert.Contains("v5.2 is ALL: All six patches.", lines);
        Assert.Equal("ALL and ALL take the same steps.", lines[^1]);
    }

    private static async Task<List<string>> DiffAsync(string left, string right)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        var terminal = new Terminal(output, error, isInteractive: false);
        Assert.Equal(ExitCode.Valid, await FleetCommand.InvokeAsync(["profile", "diff", left, right], terminal));
        return [.. output.ToString().TrimEnd().Split('\n').Select(line => line.TrimEnd())];
    }
}
