use saas_backup_core::{ErasureEvent, Error, ErrorKind, Line, Result, Start, StreamKind};

use super::{Frame, PAGE_ROWS, Walk};
use crate::cursor::Position;
use crate::kit::{Context, Kit};
use crate::{ErasurePage, ProblemDetails, Watermark};

/// Follows the log of what copies must erase.
pub(crate) struct ErasuresWalk {
    kit: Kit,
    context: Context,
    position: Option<Watermark>,
    lines_left: usize,
}

impl ErasuresWalk {
    pub(crate) fn new(kit: Kit, context: Context, position: Option<Watermark>, limit: usize) -> Self {
        Self { kit, context, position, lines_left: limit }
    }

    fn cursor(&self) -> Result<Option<String>> {
        let position = self.position.clone().map(Position::Erasures);
        position.map(|position| self.kit.seal(&self.context, &position)).transpose()
    }
}

impl Walk for ErasuresWalk {
    type Page = ErasurePage;

    fn start(&self) -> Result<Start> {
        Ok(self.context.start(StreamKind::Erasures))
    }

    async fn fetch(&mut self) -> Result<ErasurePage> {
        let log = self.kit.source.erasures().ok_or_else(ProblemDetails::not_found)?;
        let limit = self.lines_left.min(PAGE_ROWS);
        let page = log.requests(&self.context.grant, self.position.as_ref(), limit).await?;
        if page.more && self.position.as_ref() == Some(&page.next) {
            return Err(Error::new(ErrorKind::Unexpected, "the source's log of erasures does not advance"));
        }
        Ok(page)
    }

    fn write(&mut self, page: ErasurePage, frame: &mut Frame) -> Result<bool> {
        for (watermark, event) in page.entries {
            if self.lines_left == 0 {
                frame.end(self.cursor()?.as_deref(), true, None)?;
                return Ok(false);
            }
            match event {
                ErasureEvent::Erase(request) => frame.write(&Line::Erase(request))?,
                ErasureEvent::Hold(request) => frame.write(&Line::Hold(request))?,
                ErasureEvent::Cancel(end) => frame.write(&Line::EraseCancel(end))?,
                ErasureEvent::Release(end) => frame.write(&Line::HoldRelease(end))?,
                _ => return Err(Error::new(ErrorKind::Unexpected, "the source gave what is no request")),
            }
            self.position = Some(watermark);
            self.lines_left -= 1;
        }
        self.position = Some(page.next);
        let cursor = self.cursor()?;
        if !page.more || self.lines_left == 0 {
            frame.end(cursor.as_deref(), page.more, None)?;
            return Ok(false);
        }
        cursor.map_or(Ok(()), |cursor| frame.checkpoint(&cursor))?;
        Ok(true)
    }
}
