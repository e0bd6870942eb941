using Fleet.Kernel.Profiles;

namespace Fleet.Kernel.Tests.Profiles;

/// <summary>The profile table: names, aliases, what each adds to the one before.</summary>
[Trait("tier", "fast")]
public sealed class KernelProfileTests
{
    [Fact]
    public void The_columns_come_in_the_order_of_the_matrix() =>
        Assert.Equal(
            [
                "P0", "P1", "P2", "P3", "P4", "P5", "ALL", "V1", "X6-5", "X6c", "ALL-p3", "L514", "L515a", "L515b",
                "L515c", "L60", "L62", "L62f", "CLEAN", "MAINLINE",
            ],
            KernelProfile.All.Select(p => p.Name));

    [Theory]
    [InlineData("BEFORE", "P0")]
    [InlineData("v5.1", "P0")]
    [InlineData("P6", "ALL")]
    [InlineData("AFTER", "ALL")]
    [InlineData("v5.2", "ALL")]
    [InlineData("all", "ALL")]
    [InlineData("ALL-p1", "ALL-p3")]
    [InlineData("ALL-p2", "ALL-p3")]
    [InlineData("ALL-p4", "X6-5")]
    [InlineData("ALL-p5", "X6-5")]
    [InlineData("all-P6", "P5")]
    [InlineData("v5.14", "L514")]
    [InlineData("v5.15", "L515c")]
    [InlineData("v6.0", "L60")]
    [InlineData("v6.2", "L62")]
    public void Aliases_name_a_profile(string alias, string name)
    {
        Assert.True(KernelProfile.TryParse(alias, out var profile));
        Assert.Equal(name, profile.Name);
    }

    [Theory]
    [InlineData("")]
    [InlineData("P7")]
    [InlineData("ALL-p7")]
    [InlineData(" ALL")]
    public void Anything_else_names_none(string name) => Assert.False(KernelProfile.TryParse(name, out _));

    // Goal: what a column turns on is what scenarios.md, section 1, says it adds.
    [Theory]
    [InlineData("P0", "P1", "+HasReleaseAction")]
    [InlineData("P1", "P2", "+HasMemunmap")]
    [InlineData("P2", "P3", "+UnmapOnPoolAddError")]
    [InlineData("P3", "P4", "+ChunkOwner")]
    [InlineData("P4", "P5", "+RefPerResource +AllocUsesRcu +ReleaseUsesLocalCopy +P2pSeparateCleanupAction")]
    [InlineData(
        "P5", "ALL",
        "-P2pSeparateCleanupAction +P2pCleanupCallback +CleanupInRelease +KillOnConflict +ReapOnError +RequireCleanup"
        + " +ConsumersCleanUpInRelease +PmemRawQueueActionOnly +TestWrapperCleansUp")]
    [InlineData("ALL", "V1", "-ReleaseUsesLocalCopy")]
    [InlineData("ALL", "X6-5", "-RefPerResource -AllocUsesRcu -ReleaseUsesLocalCopy")]
    [InlineData(
        "P0", "X6c",
        "+CleanupInRelease +KillOnConflict +ReapOnError +RequireCleanup +ConsumersCleanUpInRelease"
        + " +PmemRawQueueActionOnly +TestWrapperCleansUp")]
    [InlineData("ALL", "ALL-p3", "-UnmapOnPoolAddError")]
    [InlineData("ALL", "L514", "+SingleFieldRead +SysfsUsesRcu +SetupPublishesLast")]
    [InlineData("L514", "L515a", "+PmemRawQueueAfterMapping")]
    [InlineData("L515a", "L515b", "+DelGendiskDrains")]
    [InlineData("L515b", "L515c", "+PmemInternalRef")]
    [InlineData("L515c", "L60", "+RefEmbedded +ExitAfterErase")]
    [InlineData("L60", "L62", "+SysfsMmap")]
    [InlineData("L62", "L62f", "+MmapFailurePutsRef +MmapFailureResetsCount")]
    [InlineData("L62f", "CLEAN", "+UnpublishFirst")]
    [InlineData("L62f", "MAINLINE", "+BulkPagePut")]
    public void Each_column_adds_what_its_patch_added(string left, string right, string expected)
    {
        Assert.True(KernelProfile.TryParse(left, out var from));
        Assert.True(KernelProfile.TryParse(right, out var to));
        var difference = KernelProfile.Diff(from, to).Select(d => $"{(d.On == to ? '+' : '-')}{d.Note.Switch}");
        Assert.Equal(expected.Split(' '), difference);
    }

    [Fact]
    public void A_profile_differs_in_nothing_from_itself() =>
        Assert.All(KernelProfile.All, profile => Assert.Empty(KernelProfile.Diff(profile, profile)));

    [Fact]
    public void Every_switch_says_what_it_changes() =>
        Assert.Equal(
            Enum.GetValues<KernelSwitch>().Where(one => one is not KernelSwitch.None),
            KernelSwitchNote.All.Select(note => note.Switch));

    [Fact]
    public void Every_ref_may_be_revived_and_all_six_patches_are_the_default()
    {
        Assert.All(
            KernelProfile.All,
            profile => Assert.Contains(profile.Switches, note => note.Switch is KernelSwitch.RefAlwaysReinit));
        Assert.Equal("ALL", KernelProfile.Default.Name);
    }
}
